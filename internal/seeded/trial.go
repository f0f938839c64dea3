// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Random faults are tried by the root's own tests, without the race detector: there are
// hundreds, and what only the tests of other packages notice is a gap of the root's. They
// are built into one program, and its environment tells which is in force, for building
// takes longer than most faults need to be noticed.

const (
	// patience is how long tests may print nothing. They tell of each that begins, and the
	// longest needs 2 s of an idle machine.
	patience = time.Minute

	// limitAll is how long all may take, though they print. They need 15 s.
	limitAll = 10 * time.Minute
)

// A trial tries faults in a copy of the library.
type trial struct {
	dir                      string
	sources                  map[string]string // by the files' names, without faults
	noticed, missed, unbuilt int
}

// runRandom tries n random faults that can be built, of those that have one of names in
// their description, if there are names. It prints what becomes of each.
func runRandom(root string, n int, seed uint64, names []string) error {
	dir, err := os.MkdirTemp("", "seeded")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(dir, root); err != nil {
		return err
	}
	all, err := randomPlaces(dir, seed)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(p place) bool {
			return !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(p.String(), name) })
		})
	}
	t := trial{dir: dir, sources: make(map[string]string)}
	for todo := n; todo > 0 && len(all) > 0; todo = n - t.noticed - t.missed {
		var now []place
		now, all = apart(all, todo)
		if err := t.try(now); err != nil {
			return err
		}
	}
	fmt.Printf("seed %d: %d noticed, %d not noticed, %d could not be built\n", seed, t.noticed, t.missed, t.unbuilt)
	return nil
}

// apart takes the first n places of all that do not overlap, and returns the rest.
func apart(all []place, n int) (taken, rest []place) {
	for _, p := range all {
		if len(taken) == n || slices.ContainsFunc(taken, p.overlaps) {
			rest = append(rest, p)
			continue
		}
		taken = append(taken, p)
	}
	return taken, rest
}

// try builds faults into the copy, and prints what becomes of each.
func (t *trial) try(all []place) error {
	all, err := t.build(all)
	if err != nil {
		return err
	}
	if by := t.noticedBy(0); by != "" {
		return fmt.Errorf("the tests do not pass without a fault: %s", by)
	}
	for i, p := range all {
		by := t.noticedBy(i + 1)
		if by == "" {
			t.missed++
			by = "**not noticed**"
		} else {
			t.noticed++
		}
		fmt.Printf("%3d %s: %s\n", t.noticed+t.missed, p, by)
	}
	return nil
}

const program = "root.test"

// build builds the tests with faults, and returns those that it could build.
func (t *trial) build(all []place) ([]place, error) {
	for {
		lines, err := t.write(all)
		if err != nil {
			return nil, err
		}
		out, err := t.run(limitAll, 0, "go", "build", "-gcflags=-e", ".")
		if err == nil {
			break
		}
		bad := blamed(out, all, lines)
		if len(bad) == 0 {
			return nil, fmt.Errorf("building: %w\n%s", err, out)
		}
		t.unbuilt += len(bad)
		var good []place
		for i, p := range all {
			if !bad[i] {
				good = append(good, p)
			}
		}
		all = good
	}
	out, err := t.run(limitAll, 0, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", program, ".")
	if err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	return all, nil
}

// write writes the copy's files with faults, and returns the lines where those begin.
func (t *trial) write(all []place) (lines map[int]int, err error) {
	lines = make(map[int]int)
	for _, p := range all {
		if _, ok := t.sources[p.file]; ok {
			continue
		}
		src, err := os.ReadFile(filepath.Join(t.dir, p.file))
		if err != nil {
			return nil, err
		}
		t.sources[p.file] = string(src)
	}
	for name, src := range t.sources {
		text, begin := withFaults(name, src, all)
		for i, line := range begin {
			lines[i] = line
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(t.dir, name), []byte(text), 0o644))
	}
	return lines, errors.Join(err, os.WriteFile(filepath.Join(t.dir, helperFile), []byte(helpers), 0o644))
}

var compileError = regexp.MustCompile(`(?m)^\./(\w+\.go):(\d+):`)

// blamed returns the faults that stand where the compiler has found errors, or last before.
func blamed(out string, all []place, lines map[int]int) map[int]bool {
	bad := make(map[int]bool)
	for _, m := range compileError.FindAllStringSubmatch(out, -1) {
		line, _ := strconv.Atoi(m[2])
		last := -1
		for i, p := range all {
			if p.file == m[1] && lines[i] <= line && (last < 0 || lines[i] >= lines[last]) {
				last = i
			}
		}
		if last >= 0 {
			bad[last] = true
		}
	}
	return bad
}

// noticedBy returns what notices a fault. A busy machine must not count as that, so what
// fails or does not end once has to do so again: the test alone, or all of them with three
// times the patience.
func (t *trial) noticedBy(fault int) string {
	test := func(patience time.Duration, args ...string) (string, error) {
		args = append(args, "-test.v", "-test.failfast", "-test.timeout="+limitAll.String())
		return t.run(patience, fault, "./"+program, args...)
	}
	out, err := test(patience)
	if err == nil {
		return ""
	}
	if name := suspect(out); name != "" {
		if again, err := test(patience, "-test.run=^"+name+"$"); err != nil {
			return name + how(again, err)
		}
	}
	if out, err = test(3 * patience); err == nil {
		return ""
	}
	return suspect(out) + how(out, err) + ", not alone"
}

var (
	failed  = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)
	started = regexp.MustCompile(`(?m)^=== RUN +(\w+)`)
)

// suspect names the test that failed, or the last that has begun, if one is to blame.
func suspect(out string) string {
	if strings.Contains(out, leaked) {
		return ""
	}
	if m := failed.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	if all := started.FindAllStringSubmatch(out, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	return ""
}

// leaked is what internal/leak says of all tests together.
const leaked = "leak: the tests passed"

// how tells how tests failed, if no test tells by itself.
func how(out string, err error) string {
	switch {
	case errors.Is(err, errQuiet) || strings.Contains(out, "panic: test timed out"):
		return " (hangs)"
	case strings.Contains(out, leaked):
		return "what is left behind"
	}
	return ""
}

var errQuiet = errors.New("nothing was printed for too long")

// run runs a command in the copy for as long as it prints something, and returns the end of
// that.
func (t *trial) run(patience time.Duration, fault int, name string, args ...string) (string, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, name, args...)
	quiet := time.AfterFunc(patience, func() { cancel(errQuiet) })
	defer quiet.Stop()
	out := tail{printed: func() { quiet.Reset(patience) }}
	cmd.Dir, cmd.WaitDelay, cmd.Stdout, cmd.Stderr = t.dir, time.Second, &out, &out
	cmd.Env = append(os.Environ(), forceEnv+"="+strconv.Itoa(fault))
	err := cmd.Run()
	return string(out.text), errors.Join(err, context.Cause(ctx))
}

// A tail is the end of what is written to it: a fault may make a test print without end.
type tail struct {
	text    []byte
	printed func()
}

func (t *tail) Write(p []byte) (int, error) {
	t.printed()
	t.text = append(t.text, p...)
	if over := len(t.text) - 1<<20; over > 0 {
		t.text = slices.Delete(t.text, 0, over)
	}
	return len(p), nil
}
