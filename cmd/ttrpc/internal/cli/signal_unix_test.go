// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package cli

import (
	"os"
	"testing"

	"github.com/containerd/ttrpc/internal/program"
)

// TestInterrupt has the first interrupt cancel and the second one quit, in a process of its own.
func TestInterrupt(t *testing.T) {
	p := program.Start(t, "end")
	p.Await(t, "running")
	p.Signal(t, os.Interrupt)
	if code := p.Wait(); code != 65 {
		t.Errorf("B168: interrupted, it has ended with %d: %s", code, p.Stderr())
	}
	p = program.Start(t, "hang")
	p.Await(t, "running")
	p.Signal(t, os.Interrupt)
	p.Await(t, "cancelled")
	p.Signal(t, os.Interrupt)
	if code := p.Wait(); code != -1 { // by the signal
		t.Errorf("B168: interrupted twice, it has ended with %d: %s", code, p.Stderr())
	}
}
