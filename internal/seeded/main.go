// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command seeded tests the tests: it puts one fault at a time into a copy of the
// library and tells which test notices.
//
//	seeded [NAME…]
//
// NAMEs are parts of the faults' names; without any all faults are tried. A fault
// that no test notices makes it fail.
package main

import (
	"context"
	"errors"
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
const limit = 3 * time.Minute

func main() {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if _, statErr := os.Stat("faults.go"); err == nil {
		err = statErr
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "seeded: run it in its own directory:", err)
		os.Exit(2)
	}
	missed := 0
	fmt.Println("| fault | kind | noticed by |\n|---|---|---|")
	for _, f := range faults {
		if !chosen(f, os.Args[1:]) {
			continue
		}
		by, err := try(root, f)
		if err != nil {
			by = "**" + err.Error() + "**"
			missed++
		}
		fmt.Printf("| %s | %s | %s |\n", f.name, f.kind, by)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "seeded: %d faults were not noticed\n", missed)
		os.Exit(1)
	}
}

func chosen(f fault, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.Contains(f.name, n) })
}

// try returns what noticed the fault.
func try(root string, f fault) (string, error) {
	dir, err := os.MkdirTemp("", "seeded")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(dir, root); err != nil {
		return "", err
	}
	if err := f.apply(dir); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Minute)
	defer cancel()
	test := exec.CommandContext(ctx, "go", append([]string{"test", "-race", "-timeout", limit.String()}, f.packages()...)...)
	test.Dir = dir
	out, err := test.CombinedOutput()
	if err == nil {
		return "", errors.New("not noticed")
	}
	return noticed(string(out))
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
