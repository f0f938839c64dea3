// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"os"
	"strings"
	"testing"
)

// TestPackagePage holds that the lines of code with which the package page begins are those of
// its Example, which runs.
func TestPackagePage(t *testing.T) {
	page, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(page), "// # ")
	shown := 0
	for line := range strings.Lines(first) {
		code, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		shown++
		code, _, _ = strings.Cut(code, "//")
		if code = strings.TrimSpace(code); !strings.Contains(string(example), "\t"+code+"\n") && !strings.Contains(string(example), "\n"+code) {
			t.Errorf("the Example has no line %q", code)
		}
	}
	if shown < 10 {
		t.Errorf("the package page begins with %d lines of code, want 10", shown)
	}
}
