// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// TestHelp holds that the help of each command begins with an example of it, and says in short
// what it does and how it ends.
func TestHelp(t *testing.T) {
	e, count := new(cli.Env), 0
	root := newRootCommand(e)
	cli.Prepare(root)
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		count++
		name := "ttrpc " + strings.Join(path, " ")
		code, help, stderr := runCommand(append(path, "--help")...)
		first, _, _ := strings.Cut(help, "\n")
		switch {
		case code != 0 || stderr != "":
			t.Errorf("B168: %s --help ends with %d: %s", name, code, stderr)
		case !strings.HasPrefix(first, "  ") || !strings.Contains(first, "ttrpc "+strings.Join(path, " ")):
			t.Errorf("B168: the help of %s begins with %q, which is no example of it", name, first)
		case !strings.Contains(help, "Exit codes:"):
			t.Errorf("B168: the help of %s does not tell exit codes", name)
		case cmd.Short == "":
			t.Errorf("B168: %s does not say in short what it does", name)
		}
		for _, sub := range cmd.Commands() {
			walk(sub, append(path[:len(path):len(path)], sub.Name()))
		}
	}
	walk(root, nil)
	if count < 15 {
		t.Errorf("B168: only %d commands were looked at", count)
	}
}
