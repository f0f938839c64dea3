// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Random faults are small ones at places of the root package that a seed chooses. That one
// is not noticed may mean that it changes nothing that matters: a person has to look.

// swaps are the operators that are put in each other's place.
var swaps = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD,
}

// A place is where a file may get a small fault: between two offsets.
type place struct {
	file     string
	line     int
	from, to int
	what     string // becomes of it

	// text is what stands there instead, which has the fault if on is true, a condition.
	text func(on string) string
}

func (p place) String() string { return fmt.Sprintf("%s:%d: %s", p.file, p.line, p.what) }

// overlaps tells whether two places share text.
func (p place) overlaps(q place) bool { return p.file == q.file && p.from < q.to && q.from < p.to }

// places returns all places of a file.
func places(name, src string) (all []place, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	text := func(from, to token.Pos) string { return src[set.Position(from).Offset:set.Position(to).Offset] }
	add := func(n ast.Node, what string, faulty func(on string) string) {
		from, to := set.Position(n.Pos()), set.Position(n.End())
		all = append(all, place{name, from.Line, from.Offset, to.Offset, what, faulty})
	}
	remove := func(n ast.Node) {
		s := text(n.Pos(), n.End())
		add(n, "without "+short(s), func(on string) string { return "if !" + on + " { " + s + " }" })
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl: // a constant or a type has no behaviour of its own
			return n.Tok == token.VAR
		case *ast.IfStmt:
			cond := text(n.Cond.Pos(), n.Cond.End())
			add(n.Cond, "if not "+short(cond), func(on string) string { return "(" + cond + ") != " + on })
		case *ast.BinaryExpr:
			if op, ok := swaps[n.Op]; ok {
				good := text(n.Pos(), n.End())
				opEnd := n.OpPos + token.Pos(len(n.Op.String()))
				bad := text(n.Pos(), n.OpPos) + op.String() + text(opEnd, n.End())
				add(n, short(bad)+" instead of "+n.Op.String(), either(n.Op, good, bad))
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt:
			remove(n)
		case *ast.AssignStmt:
			if n.Tok == token.ASSIGN {
				remove(n)
			}
		}
		return true
	})
	return all, nil
}

// either returns what has the value of the one expression with an operator, or of the other.
func either(op token.Token, good, bad string) func(on string) string {
	if op == token.ADD || op == token.SUB {
		return func(on string) string { return "faultyOr(" + on + ", " + bad + ", " + good + ")" }
	}
	return func(on string) string {
		return "func() bool { if " + on + " { return " + bad + " }; return " + good + " }()"
	}
}

// short returns the beginning of a text, on one line.
func short(s string) string {
	const most = 60
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = s[:most] + "…"
	}
	return "`" + s + "`"
}

// randomPlaces returns all places of the package in dir, in an order that the seed gives.
func randomPlaces(dir string, seed uint64) (all []place, err error) {
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
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		found, err := places(name, string(src))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}

// withFaults returns a file's text with what stands at its places instead, each of which is
// faulty if it is the one in force, by the order of places. Also it returns the lines where
// they begin.
func withFaults(name, src string, all []place) (text string, lines map[int]int) {
	var order []int
	for i, p := range all {
		if p.file == name {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return all[i].from - all[j].from })
	lines = make(map[int]int)
	done := 0
	for _, i := range order {
		p := all[i]
		text += src[done:p.from]
		lines[i] = 1 + strings.Count(text, "\n")
		text += p.text(fmt.Sprintf("faultInForce(%d)", i+1))
		done = p.to
	}
	return text + src[done:], lines
}

// helperFile and helpers are what the faults call. None is in force if the environment does
// not tell.
const (
	helperFile = "faults_in_force.go"
	forceEnv   = "FAULT_IN_FORCE"
	helpers    = `package ttrpc

import (
	"os"
	"strconv"
)

var inForce, _ = strconv.Atoi(os.Getenv("` + forceEnv + `"))

func faultInForce(n int) bool { return n == inForce }

func faultyOr[T any](on bool, bad, good T) T {
	if on {
		return bad
	}
	return good
}
`
)
