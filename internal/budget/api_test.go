// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// apiExceptions are the lines of testdata/api.txt that do not hold, with the
// reason.
var apiExceptions = map[string]string{
	"type StreamClientInterceptor func(context.Context)": "nothing could use it; it has a useful signature now",
}

// TestAPI checks that every name of testdata/api.txt, which is what existing
// callers compile against, exists with that signature.
func TestAPI(t *testing.T) {
	text, err := os.ReadFile("testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]string)
	for _, line := range apiLines(apiPackage(t)) {
		have[apiName(line)] = line
	}
	exceptions := 0
	for _, want := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		got, ok := have[apiName(want)]
		switch reason := apiExceptions[want]; {
		case !ok:
			t.Errorf("missing from the API: %s\n\twant %s", apiName(want), want)
		case reason != "" && got == want:
			t.Errorf("the exception for %s is not needed", want)
		case reason != "":
			exceptions++
		case got != want:
			t.Errorf("different in the API: %s\n\twant %s\n\tgot  %s", apiName(want), want, got)
		}
	}
	if exceptions != len(apiExceptions) {
		t.Errorf("%d of %d exceptions are lines of api.txt", exceptions, len(apiExceptions))
	}
}

// apiPackage returns the library as the compiler exports it. The list is of
// Linux, where all of the API exists.
func apiPackage(t *testing.T) *types.Package {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", library)
	list.Env = append(os.Environ(), "GOOS=linux")
	list.Stderr = new(bytes.Buffer)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list, err, list.Stderr)
	}
	files := make(map[string]string)
	for _, line := range strings.Split(string(out), "\n") {
		path, file, _ := strings.Cut(line, " ")
		files[path] = file
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", lookup).Import(library)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

// apiName returns the part of a line that names something, without its type.
func apiName(line string) string {
	words := strings.Fields(strings.ReplaceAll(line, "(", " ("))
	switch words[0] {
	case "method": // method (*T) Name(…
		return strings.Join(words[:3], " ")
	case "type": // type T …, or type T struct, field Name …
		if len(words) > 4 && strings.HasSuffix(words[2], ",") {
			return strings.Join(words[:5], " ")
		}
	}
	return strings.Join(words[:2], " ")
}

// apiLines writes down everything that pkg exports.
func apiLines(pkg *types.Package) []string {
	var lines []string
	for _, name := range pkg.Scope().Names() {
		if !token.IsExported(name) {
			continue
		}
		switch obj := pkg.Scope().Lookup(name).(type) {
		case *types.Func:
			lines = append(lines, "func "+name+apiSignature(pkg, obj))
		case *types.Var:
			lines = append(lines, "var "+name+" "+apiType(pkg, obj.Type()))
		case *types.TypeName:
			lines = append(lines, apiTypeLines(pkg, obj)...)
		}
	}
	return lines
}

func apiTypeLines(pkg *types.Package, name *types.TypeName) []string {
	var lines []string
	prefix := "type " + name.Name() + " "
	switch under := name.Type().Underlying().(type) {
	case *types.Struct:
		prefix += "struct"
		lines = append(lines, prefix)
		for i := range under.NumFields() {
			if f := under.Field(i); f.Exported() {
				lines = append(lines, fmt.Sprintf("%s, field %s %s", prefix, f.Name(), apiType(pkg, f.Type())))
			}
		}
	case *types.Interface:
		prefix += "interface"
		lines = append(lines, prefix)
		for i := range under.NumMethods() {
			m := under.Method(i)
			lines = append(lines, fmt.Sprintf("%s, method %s%s", prefix, m.Name(), apiSignature(pkg, m)))
		}
	default:
		lines = append(lines, prefix+apiType(pkg, under))
	}
	named := name.Type().(*types.Named)
	for i := range named.NumMethods() {
		if m := named.Method(i); m.Exported() {
			receiver := apiType(pkg, m.Type().(*types.Signature).Recv().Type())
			lines = append(lines, fmt.Sprintf("method (%s) %s%s", receiver, m.Name(), apiSignature(pkg, m)))
		}
	}
	return lines
}

func apiSignature(pkg *types.Package, f *types.Func) string {
	return strings.TrimPrefix(apiType(pkg, f.Type()), "func")
}

// apiType writes a type without names of parameters, and packages in full.
func apiType(pkg *types.Package, t types.Type) string {
	text := types.TypeString(apiUnnamed(t), func(p *types.Package) string {
		if p == pkg {
			return ""
		}
		return p.Path()
	})
	return strings.ReplaceAll(text, "interface{}", "any")
}

// apiUnnamed returns t without the names of parameters.
func apiUnnamed(t types.Type) types.Type {
	switch t := t.(type) {
	case *types.Signature:
		return types.NewSignatureType(nil, nil, nil, apiUnnamedTuple(t.Params()), apiUnnamedTuple(t.Results()), t.Variadic())
	case *types.Pointer:
		return types.NewPointer(apiUnnamed(t.Elem()))
	case *types.Slice:
		return types.NewSlice(apiUnnamed(t.Elem()))
	case *types.Map:
		return types.NewMap(apiUnnamed(t.Key()), apiUnnamed(t.Elem()))
	}
	return t
}

func apiUnnamedTuple(tuple *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for i := range tuple.Len() {
		vars = append(vars, types.NewParam(token.NoPos, nil, "", apiUnnamed(tuple.At(i).Type())))
	}
	return types.NewTuple(vars...)
}
