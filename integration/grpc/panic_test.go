// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// panicking names, in the environment of a process of its own, the way whose handler panics.
const panicking = "GRPC_TEST_PANICS"

// panics has another process be server and client, as the panic is to end it.
func panics(b *bed) string {
	cmd := exec.CommandContext(b.ctx, os.Args[0], "-test.run=^TestPanics$")
	cmd.Env = append(os.Environ(), panicking+"="+b.way.Name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "the program lives"
	}
	if !strings.Contains(string(out), "panic: the handler's") {
		return "something else ends the program: " + string(out)
	}
	return "ends the program"
}

// TestPanics is what that process runs.
func TestPanics(t *testing.T) {
	for _, way := range columns() {
		if way.Name == os.Getenv(panicking) {
			b := &bed{t: t, way: way, ctx: context.Background()}
			b.unary = func(context.Context, *request) (*response, error) { panic("the handler's") }
			b.open()
			b.stub.UnaryCall(b.ctx, new(request))
		}
	}
}
