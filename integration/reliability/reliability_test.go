// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
)

// The subjects that TestMain has built.
var theirs, ours version

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "reliability")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if theirs, ours, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	theirs.patience = 2 * time.Second // what it does is only told
	return leak.Check(m)
}

// number is how often a case is run in tests.
func (c testCase) number() int {
	if c.few > 0 {
		return c.few
	}
	return c.times
}

// TestCases runs every case. With -v it tells what the release does, which is not judged.
func TestCases(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := c.number()
			own := do(c, ours, n)
			if testing.Verbose() {
				t.Logf("%s\nours: %s\n%s: %s", c.text(n), own, release, do(c, theirs, n))
			}
			for _, fault := range own.faults {
				t.Error(fault)
			}
		})
	}
}

// TestFaultsAreFound runs cases that the release is known to do badly in.
func TestFaultsAreFound(t *testing.T) {
	for name, want := range map[string]string{
		"data-on-unary": "process died: panic: runtime error",
		"promised-4MiB": "B43: too much heap",
		"length-4GiB":   "B7: the connection stays open",
	} {
		c := find(t, name)
		if got := do(c, theirs, c.number()).faults; !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s: the faults found in %s are %q, want %q", name, release, got, want)
		}
	}
}

func find(t *testing.T, name string) testCase {
	t.Helper()
	for _, c := range cases {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case is called %q", name)
	return testCase{}
}

// TestNames sees to it that a command runs the case of its row.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] || strings.ContainsAny(c.name, " |") {
			t.Errorf("%q cannot be a case's name, or is another's", c.name)
		}
		if strings.Contains(c.tried, "%d") != (c.times > 0) {
			t.Errorf("%s: what was tried has to say how often, if there is a number", c.name)
		}
		seen[c.name] = true
	}
}
