// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command seeded tests the tests: it puts one fault at a time into a copy of the
// library and tells which test notices.
//
//	seeded [NAME…]
//	seeded -random N [-seed S] [NAME…]
//
// NAMEs are parts of the faults' names; without any all faults are tried. A fault
// that no test notices makes it fail. The tests must pass without a fault first.
//
// With -random it tries N small faults at places that the seed chooses: a condition is
// negated, an operator is another, a statement is left out. It tells which of the root's
// tests notices each, and does not fail if none does, for such a fault may change nothing
// that matters.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// limit is how long the tests may take. Who waits for ever is noticed by it.
const limit = 5 * time.Minute

// packages are those whose tests are to notice.
var packages = []string{".", "./integration/calls", "./integration/dial", "./integration/faults", "./integration/stress", "./internal/wire"}

func main() {
	random := flag.Int("random", 0, "try so many random faults")
	seed := flag.Uint64("seed", 1, "chooses the random faults")
	flag.Parse()
	var missed int
	var err error
	if *random > 0 {
		err = runRandom(filepath.Join("..", ".."), *random, *seed, flag.Args())
	} else {
		missed, err = run(flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "seeded:", err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "seeded: %d faults were not noticed\n", missed)
		os.Exit(1)
	}
}

// run tries the faults of the given names and returns how many were not noticed.
func run(names []string) (missed int, err error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat("faults.go"); err != nil {
		return 0, fmt.Errorf("run it in its own directory: %w", err)
	}
	all, err := chosen(names)
	if err != nil {
		return 0, err
	}
	if err := baseline(root); err != nil {
		return 0, err
	}
	fmt.Println("| fault | kind | noticed by |\n|---|---|---|")
	for _, f := range all {
		by, err := try(root, f)
		if err != nil {
			by = "**" + err.Error() + "**"
			missed++
		}
		fmt.Printf("| %s | %s | %s |\n", f.name, f.kind, by)
	}
	return missed, nil
}

// chosen returns the faults that the names are parts of, or all if there are no
// names. A name that is part of none is an error.
func chosen(names []string) ([]fault, error) {
	if len(names) == 0 {
		return faults, nil
	}
	unused := slices.Clone(names)
	var all []fault
	for _, f := range faults {
		isPart := func(name string) bool { return strings.Contains(f.name, name) }
		if slices.ContainsFunc(names, isPart) {
			all = append(all, f)
		}
		unused = slices.DeleteFunc(unused, isPart)
	}
	if len(unused) > 0 {
		return nil, fmt.Errorf("no fault is called %q", unused)
	}
	return all, nil
}

// baseline tests the library as it is. If that fails, a fault's failing would
// tell nothing.
func baseline(root string) error {
	out, err := test(root, func(string) error { return nil })
	if err != nil {
		return fmt.Errorf("the tests do not pass without a fault: %w\n%s", err, end(out))
	}
	return nil
}

// end returns the last lines of a test's output.
func end(out string) string {
	const lines = 30
	all := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// try returns what noticed the fault.
func try(root string, f fault) (string, error) {
	out, err := test(root, f.apply)
	var failed *exec.ExitError
	switch {
	case err == nil:
		return "", errors.New("not noticed")
	case !errors.As(err, &failed):
		return "", err
	}
	return noticed(out)
}

// test tests a copy of the library to which change has been applied.
func test(root string, change func(dir string) error) (out string, err error) {
	dir, err := os.MkdirTemp("", "seeded")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(dir, root); err != nil {
		return "", err
	}
	if err := change(dir); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-race", "-timeout", limit.String()}, packages...)...)
	cmd.Dir = dir
	b, err := cmd.CombinedOutput()
	return string(b), err
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\w+)|(panic: test timed out)|^\s+(Test\w+) \(`)

// noticed names the tests that failed.
func noticed(out string) (string, error) {
	if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
		return "", fmt.Errorf("it does not build: %s", out)
	}
	var by []string
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		name := strings.Replace(m[1]+m[2]+m[3], "panic: test timed out", hang, 1)
		if !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	switch {
	case len(by) > 4:
		return join(by[:3]) + fmt.Sprintf(" and %d more", len(by)-3), nil
	case len(by) > 0:
		return join(by), nil
	case strings.Contains(out, "DATA RACE"):
		return "the race detector", nil
	}
	return "the end of the process: " + firstLine(out), nil
}

// hang stands before the names of tests that did not end.
const hang = "who hangs:"

func join(names []string) string {
	return strings.Replace(strings.Join(names, ", "), hang+",", hang, 1)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// copyModule copies the module at from, without the modules nested in it.
func copyModule(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if !d.IsDir() {
			return copyFile(target, path)
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || d.Name() == ".git" {
			return filepath.SkipDir
		}
		return os.Mkdir(target, 0o755)
	})
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
