// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// withoutExample are the exported functions and methods that no example uses, with the
// reason.
var withoutExample = map[string]string{
	"OversizedMessageError":           "is there for programs that compile against v1.2.10",
	"WithUnaryClientInterceptor":      "is WithChainUnaryClientInterceptor for one",
	"WithChainUnaryServerInterceptor": "is WithUnaryServerInterceptor for several",
	"UnixSocketRequireRoot":           "is used as UnixSocketRequireSameUser is",
	"UnixSocketRequireUidGid":         "is used as UnixSocketRequireSameUser is",
	"Handshake":                       "is called by the library",
	"StreamDesc":                      "is used in example/proxy",
	"Context":                         "is that of any stream",
}

// checkExamples reports exported functions and methods in files that no example uses, and
// exceptions that are none.
func checkExamples(report report, files []*ast.File, examples string, excepted map[string]string) {
	for _, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !isExported(f.Recv) {
				continue
			}
			name, pattern := f.Name.Name, `ttrpc\.`+f.Name.Name+`\b`
			if f.Recv != nil {
				pattern = `\.` + f.Name.Name + `\(`
			}
			used := regexp.MustCompile(pattern).MatchString(examples)
			if _, is := excepted[name]; used == is {
				report("%s: an example uses it: %t; it is an exception: %t", name, used, is)
			}
		}
	}
}

// TestExamples holds that each exported function and method of the root stands in a
// runnable example.
func TestExamples(t *testing.T) {
	var files []*ast.File
	var examples strings.Builder
	names, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, filepath.Join(root, "ttrpctls", "example_test.go"))
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(name), "example_") {
			examples.Write(src)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if file := checkFile(t.Errorf, name, src); file != nil {
			files = append(files, file)
		}
	}
	if examples.Len() == 0 {
		t.Fatal("there are no examples")
	}
	checkExamples(t.Errorf, files, examples.String(), withoutExample)
}

func TestExamplesFinds(t *testing.T) {
	const src = `package p
func Used() {}
func Missed() {}
func Needless() {}
func (T) Method() {}
func (t) Inner() {}
func inner() {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	note := func(format string, args ...any) { found = append(found, fmt.Sprint(args[0])) }
	checkExamples(note, []*ast.File{file}, "ttrpc.Used() ttrpc.Needless() UsedUp ttrpc.MissedIt()", map[string]string{"Needless": "for no reason"})
	if got := strings.Join(found, " "); got != "Missed Needless Method" {
		t.Errorf("found: %s", got)
	}
}
