// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package weight holds what the library adds to programs: no more than the release does,
// and nothing of what a program does not ask for.
package weight

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root     = "../.."
	released = "released/v1.2.10.mod"
	prefix   = "github.com/containerd/ttrpc."
)

// larger is how many bytes more than with the release a program may have. The aim is none. A
// client was 4 KB smaller and a server 12 KB larger before what both refuse, bound and tell
// of errors was added, some 10 KB of code with its tables. Segments are filled up to whole
// pages of 4,096 bytes.
var larger = map[string]int64{"server": 73728, "client": 32768}

// TestSize holds how much larger than with the release minimal programs are at most.
func TestSize(t *testing.T) {
	for _, program := range []string{"server", "client"} {
		ours := size(t, build(t, "./"+program, "-trimpath", "-ldflags=-s -w"))
		theirs := size(t, build(t, "./"+program, "-trimpath", "-ldflags=-s -w", "-modfile="+released))
		t.Logf("%s: %d bytes, %d with the release: %+d", program, ours, theirs, ours-theirs)
		if ours > theirs+larger[program] {
			t.Errorf("the %s has %d bytes, and %d with the release: %d more, and it may be %d",
				program, ours, theirs, ours-theirs, larger[program])
		}
	}
}

// TestVersions holds that both are built with the same versions of what both depend on.
func TestVersions(t *testing.T) {
	ours, theirs := requirements(t, "go.mod"), requirements(t, released)
	for path, version := range ours {
		if theirs[path] != version {
			t.Errorf("%s is %s here, and %q with the release", path, version, theirs[path])
		}
	}
	for path, version := range requirements(t, filepath.Join(root, "go.mod")) {
		if ours[path] != version {
			t.Errorf("the library requires %s %s, and the programs are built with %q", path, version, ours[path])
		}
	}
}

// TestSymbols holds that the minimal programs link nothing of the extended mode or of Dial,
// and that a program which asks for them does: the names are those that are looked for.
func TestSymbols(t *testing.T) {
	wings := map[string]map[string]bool{"ext_": declared(t, "ext_"), "dial": declared(t, "dial")}
	for program, want := range map[string]bool{"./server": false, "./client": false, "./control": true} {
		symbols := symbolsOf(t, build(t, program, "-trimpath"))
		for wing, names := range wings {
			var found []string
			for _, symbol := range symbols {
				if names[nameOf(symbol)] {
					found = append(found, symbol)
				}
			}
			switch {
			case want && len(found) < 10:
				t.Errorf("%s asks for %s*.go, and links only %q of it", program, wing, found)
			case !want && len(found) > 0:
				t.Errorf("%s links of %s*.go: %q", program, wing, found)
			}
		}
	}
}

// build builds a program of this module.
func build(t *testing.T, program string, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	run(t, append(append([]string{"build", "-o", binary}, flags...), program)...)
	return binary
}

// run returns what go prints.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// requirements returns the versions of the modules that a mod file requires.
func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(run(t, "mod", "edit", "-json", file), &mod); err != nil {
		t.Fatal(err)
	}
	versions := make(map[string]string)
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	if len(versions) == 0 {
		t.Fatalf("%s requires nothing", file)
	}
	return versions
}

// symbolsOf returns the names of the functions, methods and variables that a program has.
func symbolsOf(t *testing.T, binary string) []string {
	t.Helper()
	var symbols []string
	for line := range strings.Lines(string(run(t, "tool", "nm", binary))) {
		if i := strings.Index(line, " "+prefix); i >= 0 {
			symbols = append(symbols, strings.TrimSpace(line[i+1+len(prefix):]))
		}
	}
	if len(symbols) < 50 {
		t.Fatalf("%s has only %d symbols of the library", binary, len(symbols))
	}
	return symbols
}

// nameOf returns what declares a symbol: f for f and f.func1, T.m for (*T).m, T.m-fm and T.m.func1.
func nameOf(symbol string) string {
	symbol = strings.NewReplacer("(*", "", ")", "").Replace(symbol)
	symbol, _, _ = strings.Cut(symbol, "[")
	symbol, _, _ = strings.Cut(symbol, "-")
	parts := strings.Split(symbol, ".")
	if len(parts) > 1 && !strings.HasPrefix(parts[1], "func") && !strings.HasPrefix(parts[1], "gowrap") && !strings.HasPrefix(parts[1], "deferwrap") {
		return parts[0] + "." + parts[1]
	}
	return parts[0]
}

// declared returns the functions, methods and variables of the files of a wing.
func declared(t *testing.T, wing string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, wing+"*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			addNames(names, decl)
		}
	}
	if len(names) < 20 {
		t.Fatalf("%s*.go declare only %d names", wing, len(names))
	}
	return names
}

// addNames adds what a declaration makes symbols of. Errors of the API are not among that:
// others than the wing return them.
func addNames(names map[string]bool, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			names[decl.Name.Name] = true
			return
		}
		names[receiver(decl.Recv.List[0].Type)+"."+decl.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok && decl.Tok == token.VAR {
				for _, name := range v.Names {
					names[name.Name] = true
				}
			}
		}
	}
}

// receiver returns the name of a receiver's type.
func receiver(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.StarExpr:
		return receiver(expr.X)
	case *ast.IndexExpr:
		return receiver(expr.X)
	case *ast.Ident:
		return expr.Name
	}
	return ""
}
