// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A wing is a part of the root package that nothing outside of it may know, so that the
// linker drops it from programs that do not ask for it. Names that users call are its door.
var wings = map[string]string{
	"ext":  "the extended mode; classic code knows the interfaces of mode.go",
	"dial": "Dial; the rest knows the interface connector",
}

// seams are the unexported names of a wing that others may use, each with its reason.
var seams = map[string]string{
	"streamMore": "the type of a stream's one pointer to what a mode adds; never followed outside",
}

// TestWings holds that nobody outside of a wing uses a name that only it declares.
func TestWings(t *testing.T) {
	fset := token.NewFileSet()
	paths, err := filepath.Glob("../../*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if name := filepath.Base(path); !strings.HasSuffix(name, "_test.go") {
			if files[name], err = parser.ParseFile(fset, path, nil, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for wing, what := range wings {
		declared := map[string]bool{}
		for name, file := range files {
			if isIn(name, wing) {
				declare(file, declared)
			}
		}
		if len(declared) < 5 {
			t.Errorf("%s declares %d names", wing, len(declared))
		}
		for name, file := range files {
			if isIn(name, wing) {
				continue
			}
			for _, id := range usesOf(file, declared) {
				t.Errorf("%s uses %s of %s (%s)", fset.Position(id.Pos()), id.Name, wing, what)
			}
		}
	}
}

// isIn tells whether a file belongs to a wing.
func isIn(name, wing string) bool {
	return name == wing+".go" || strings.HasPrefix(name, wing+"_")
}

// declare adds the unexported names that a file declares, of methods those excepted that
// an interface of mode.go may have too.
func declare(file *ast.File, names map[string]bool) {
	add := func(id *ast.Ident) {
		if !id.IsExported() && id.Name != "_" && seams[id.Name] == "" {
			names[id.Name] = true
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						add(id)
					}
				}
			}
		}
	}
}

// usesOf returns where a file uses one of the names as a name of the package.
func usesOf(file *ast.File, names map[string]bool) (uses []*ast.Ident) {
	fields := map[*ast.Ident]bool{} // names of fields, methods, parameters and variables
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			fields[n.Sel] = true
		case *ast.Field:
			for _, id := range n.Names {
				fields[id] = true
			}
		case *ast.FuncDecl:
			fields[n.Name] = n.Recv != nil
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); ok {
				fields[id] = true
			}
		case *ast.Ident:
			if names[n.Name] && !fields[n] && (n.Obj == nil || n.Obj.Kind != ast.Var) {
				uses = append(uses, n)
			}
		}
		return true
	})
	return uses
}
