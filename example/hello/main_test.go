// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestHello(t *testing.T) {
	t.Chdir(t.TempDir()) // for the socket, whose name is relative
	p := program.Start(t)
	if code := p.Wait(); code != 0 || p.Stdout() != "Hello, Ada!\n" || p.Stderr() != "" {
		t.Errorf("B50: exits with %d and prints %q and %q", code, p.Stdout(), p.Stderr())
	}
}

// TestReadme holds that README.md shows this very program.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(source), "package main\n")
	if !found || !strings.Contains(string(readme), "package main\n"+code) {
		t.Error("README.md shows another program than example/hello/main.go")
	}
	for _, line := range []string{"service Greeter { rpc Greet(Text) returns (Text); }", "service Asker { rpc Ask(Text) returns (Text); }"} {
		if !strings.Contains(string(readme), line) {
			t.Errorf("README.md has no line %q", line)
		}
	}
}
