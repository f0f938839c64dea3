// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
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
