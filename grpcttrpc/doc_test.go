// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDocumentation holds that the tests that docs/grpc.md names are there.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, text...)
	}
	named := regexp.MustCompile("`((?:Test|Benchmark)[A-Za-z]+)`").FindAllSubmatch(page, -1)
	if len(named) == 0 {
		t.Error("docs/grpc.md names no test")
	}
	for _, m := range named {
		if !regexp.MustCompile(`\nfunc ` + string(m[1]) + `\(`).Match(tests) {
			t.Errorf("docs/grpc.md names %s, which is not there", m[1])
		}
	}
}
