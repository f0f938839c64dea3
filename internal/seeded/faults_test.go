// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestFaultsApply holds that the faults are about the code as it is.
func TestFaultsApply(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, f := range faults {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(f.file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := copyFile(filepath.Join(dir, f.file), filepath.Join(root, f.file)); err != nil {
			t.Fatal(err)
		}
		if err := f.apply(dir); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

// TestChosen holds that a name which no fault has is an error.
func TestChosen(t *testing.T) {
	if all, err := chosen(nil); err != nil || len(all) != len(faults) {
		t.Errorf("%d faults are chosen without names, %v", len(all), err)
	}
	first, last := faults[0].name, faults[len(faults)-1].name
	if all, err := chosen([]string{last, first, first}); err != nil || len(all) != 2 || all[0].name != first || all[1].name != last {
		t.Errorf("chosen by two names: %v, %v", all, err)
	}
	if all, err := chosen([]string{first, "no such fault"}); err == nil {
		t.Errorf("chosen by a name that no fault has: %v", all)
	}
}

// TestNoticed holds that a fault that does not build counts as not noticed.
func TestNoticed(t *testing.T) {
	if by, err := noticed("FAIL x [build failed]\n"); err == nil {
		t.Errorf("noticed by %s", by)
	}
	out := "=== RUN\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\n--- FAIL: TestB (1.00s)\nFAIL\n"
	if by, err := noticed(out); err != nil || by != "TestA, TestB" {
		t.Errorf("noticed by %s, %v", by, err)
	}
}

// TestRandomFaults holds that random faults change what they say, and only that.
func TestRandomFaults(t *testing.T) {
	dir := t.TempDir()
	src := "package p\n\nconst c = 1 + 1\n\nfunc f(a, b int) int {\n\tif a < b {\n\t\tf(b, a)\n\t}\n\ta = b\n\treturn a + b\n}\n"
	for name, text := range map[string]string{"p.go": src, "p_test.go": src, "p_windows.go": src, "p.pb.go": src} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := randomFaults(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, f := range all {
		if f.file != "p.go" || f.old != src {
			t.Errorf("a fault in %s", f.file)
		}
		line, _ := strconv.Atoi(strings.TrimPrefix(f.name, "p.go:"))
		got[f.name+" "+f.kind] = strings.TrimSpace(strings.Split(f.new, "\n")[line-1])
	}
	want := map[string]string{
		"p.go:6 if negated":         "if !(a < b) {",
		"p.go:6 < became <=":        "if a <= b {",
		"p.go:7 statement removed":  "",
		"p.go:9 assignment removed": "",
		"p.go:10 + became -":        "return a - b",
	}
	if !maps.Equal(got, want) {
		t.Errorf("the faults are %q, want %q", got, want)
	}
	again, err := randomFaults(dir, 1)
	if err != nil || !slices.Equal(all, again) {
		t.Errorf("a seed gives another order the second time: %v, %v, %v", all, again, err)
	}
}
