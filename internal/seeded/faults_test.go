// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
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

// TestRandomPlaces holds which places get random faults, and what stands there then.
func TestRandomPlaces(t *testing.T) {
	dir := t.TempDir()
	src := "package p\n\nconst c = 1 + 1\n\nfunc f(a, b int) int {\n\tif a < b {\n\t\tf(b, a)\n\t}\n\ta = b\n\treturn a + b\n}\n"
	for name, text := range map[string]string{"p.go": src, "p_test.go": src, "p_windows.go": src, "p.pb.go": src} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := randomPlaces(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, p := range all {
		got[p.String()] = src[p.from:p.to] + " → " + p.text("on")
	}
	want := map[string]string{
		"p.go:6: if not `a < b`":        "a < b → (a < b) != on",
		"p.go:6: `a <= b` instead of <": "a < b → func() bool { if on { return a <= b }; return a < b }()",
		"p.go:7: without `f(b, a)`":     "f(b, a) → if !on { f(b, a) }",
		"p.go:9: without `a = b`":       "a = b → if !on { a = b }",
		"p.go:10: `a - b` instead of +": "a + b → faultyOr(on, a - b, a + b)",
	}
	if !maps.Equal(got, want) {
		t.Errorf("the faults are %q, want %q", got, want)
	}
	again, err := randomPlaces(dir, 1)
	same := func(p, q place) bool { return p.String() == q.String() }
	if err != nil || !slices.EqualFunc(all, again, same) {
		t.Errorf("a seed gives another order the second time: %v, %v, %v", all, again, err)
	}

	first, rest := apart(all, 4)
	if len(first) != 4 || len(rest) != 1 || !slices.ContainsFunc(first, rest[0].overlaps) {
		t.Errorf("%v do not overlap, %v are left", first, rest)
	}
	text, lines := withFaults("p.go", src, first)
	for i, p := range first {
		line := strings.Split(text, "\n")[lines[i]-1]
		if want := p.text("faultInForce(" + strconv.Itoa(i+1) + ")"); !strings.Contains(line, want) {
			t.Errorf("line %d is %q, want %q in it", lines[i], line, want)
		}
	}
	for i := range first {
		out := "# p\n./p.go:" + strconv.Itoa(lines[i]) + ":1: missing return\n"
		if bad := blamed(out, first, lines); len(bad) != 1 || !bad[i] {
			t.Errorf("%v are blamed for %q, want %d", bad, out, i)
		}
	}
}

// TestSuspect holds that the test is found that failed, or that did not end.
func TestSuspect(t *testing.T) {
	hung := "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n=== RUN   TestB/sub\npanic: test timed out after 1m30s\n"
	if got := suspect(hung) + how(hung, nil); got != "TestB (hangs)" {
		t.Errorf("noticed by %q", got)
	}
	fails := "=== RUN   TestA\n=== RUN   TestA/sub\n    --- FAIL: TestA/sub (0.00s)\n--- FAIL: TestA (0.00s)\nFAIL\n"
	if got := suspect(fails) + how(fails, nil); got != "TestA" {
		t.Errorf("noticed by %q", got)
	}
	leaks := "=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\nleak: the tests passed, but left behind:\n"
	if got := suspect(leaks) + how(leaks, nil); got != "what is left behind" {
		t.Errorf("noticed by %q", got)
	}
}

// TestTail holds that only the end is kept of what has none.
func TestTail(t *testing.T) {
	prints := 0
	out := tail{printed: func() { prints++ }}
	for i := range 1 << 10 {
		if n, err := out.Write([]byte(strings.Repeat(string(rune('a'+i%26)), 2048))); n != 2048 || err != nil {
			t.Fatalf("%d bytes written, %v", n, err)
		}
	}
	if n := len(out.text); n != 1<<20 || out.text[n-1] != byte('a'+1023%26) || prints != 1<<10 {
		t.Errorf("%d bytes are left of %d prints", n, prints)
	}
}

// TestQuiet holds that a command ends that prints nothing for too long, and no other.
func TestQuiet(t *testing.T) {
	tr := trial{dir: t.TempDir()}
	if _, err := tr.run(time.Millisecond, 0, "sleep", "600"); !errors.Is(err, errQuiet) || how("", err) != " (hangs)" {
		t.Errorf("a quiet command ends with %v", err)
	}
	if out, err := tr.run(time.Minute, 7, "sh", "-c", "echo $"+forceEnv); out != "7\n" || err != nil {
		t.Errorf("a command prints %q and ends with %v", out, err)
	}
}
