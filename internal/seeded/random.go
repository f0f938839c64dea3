// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Random faults are small ones at places of the root package that a seed chooses. That one
// is not noticed may mean that it changes nothing that matters: a person has to look.

// swaps are the operators that are put in each other's place.
var swaps = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD,
}

// An edit replaces the text between two offsets of a file.
type edit struct {
	from, to int
	text     string
	what     string
}

// edits returns all small faults that a file may get.
func edits(set *token.FileSet, tree *ast.File, src string) (all []edit) {
	add := func(from, to token.Pos, text, what string) {
		all = append(all, edit{set.Position(from).Offset, set.Position(to).Offset, text, what})
	}
	textOf := func(n ast.Node) string {
		return src[set.Position(n.Pos()).Offset:set.Position(n.End()).Offset]
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl: // a constant or a type has no behaviour of its own
			return n.Tok == token.VAR
		case *ast.IfStmt:
			add(n.Cond.Pos(), n.Cond.End(), "!("+textOf(n.Cond)+")", "if negated")
		case *ast.BinaryExpr:
			if to, ok := swaps[n.Op]; ok {
				add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), to.String(), fmt.Sprintf("%s became %s", n.Op, to))
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt:
			add(n.Pos(), n.End(), "", "statement removed")
		case *ast.AssignStmt:
			if n.Tok == token.ASSIGN {
				add(n.Pos(), n.End(), "", "assignment removed")
			}
		}
		return true
	})
	return all
}

// randomFaults returns all small faults that the package in dir may get, in an order that
// the seed gives.
func randomFaults(dir string, seed uint64) (all []fault, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		name := filepath.Base(path)
		used, err := build.Default.MatchFile(dir, name)
		if err != nil {
			return nil, err
		}
		if !used || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".pb.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		src, set := string(b), token.NewFileSet()
		tree, err := parser.ParseFile(set, path, b, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, e := range edits(set, tree, src) {
			line := 1 + strings.Count(src[:e.from], "\n")
			all = append(all, fault{
				name: fmt.Sprintf("%s:%d", name, line), kind: e.what, file: name,
				old: src, new: src[:e.from] + e.text + src[e.to:],
			})
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}

// A tally is how many faults were noticed, were not, and could not be built.
type tally struct{ noticed, missed, unbuilt int }

// runRandom tries n random faults that can be built, and prints those that were not noticed.
func runRandom(root string, n int, seed uint64) (sum tally, err error) {
	if err := baseline(root); err != nil {
		return sum, err
	}
	dir, err := os.MkdirTemp("", "seeded")
	if err != nil {
		return sum, err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(dir, root); err != nil {
		return sum, err
	}
	all, err := randomFaults(dir, seed)
	if err != nil {
		return sum, err
	}
	for _, f := range all {
		if sum.noticed+sum.missed == n {
			break
		}
		found, err := tryRandom(dir, f)
		switch {
		case errors.Is(err, errUnbuilt):
			sum.unbuilt++
			continue
		case err != nil:
			return sum, err
		case found:
			sum.noticed++
		default:
			sum.missed++
			fmt.Printf("not noticed: %s: %s\n", f.name, f.kind)
		}
		if done := sum.noticed + sum.missed; done%10 == 0 {
			fmt.Printf("%d of %d tried, %d not noticed\n", done, n, sum.missed)
		}
	}
	return sum, nil
}

var errUnbuilt = errors.New("the fault cannot be built")

// tryRandom puts a fault into the copy in dir, and takes it out again. First the quickest
// tests are to notice, then the others.
func tryRandom(dir string, f fault) (found bool, err error) {
	if err := f.apply(dir); err != nil {
		return false, err
	}
	defer func() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, f.file), []byte(f.old), 0o644))
	}()
	if goRun(dir, "build", ".") != nil {
		return false, errUnbuilt
	}
	if goRun(dir, "test", "-failfast", "-timeout", "2m", ".") != nil {
		return true, nil
	}
	rest := append([]string{"test", "-failfast", "-timeout", limit.String()}, packages[1:]...)
	return goRun(dir, rest...) != nil, nil
}

// goRun runs the go command in dir.
func goRun(dir string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	return cmd.Run()
}
