// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWithoutTLS: a program that uses ttrpc and not this package does not
// contain crypto/tls. The example is such a program.
func TestWithoutTLS(t *testing.T) {
	for _, pkg := range []string{"github.com/containerd/ttrpc", "github.com/containerd/ttrpc/example/cmd"} {
		deps := strings.Fields(run(t, "go", "list", "-deps", pkg))
		if !slices.Contains(deps, "github.com/containerd/ttrpc") {
			t.Errorf("the dependencies of %s are incomplete: %v", pkg, deps)
		}
		if slices.Contains(deps, "crypto/tls") {
			t.Errorf("%s depends on crypto/tls", pkg)
		}
	}
	binary := filepath.Join(t.TempDir(), "example")
	run(t, "go", "build", "-o", binary, "github.com/containerd/ttrpc/example/cmd")
	symbols := run(t, "go", "tool", "nm", binary)
	if !strings.Contains(symbols, "github.com/containerd/ttrpc.NewServer") {
		t.Error("the binary's symbols are incomplete")
	}
	if strings.Contains(symbols, "crypto/tls.") {
		t.Error("the binary contains crypto/tls")
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}
