// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/ttrpc"
)

// TestShutdown has a process shut down while its handlers run. These finish, and call
// back until then; later calls are refused.
func TestShutdown(t *testing.T) {
	const started = 50
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		done := make([]<-chan error, started)
		for i := range done {
			done[i] = p.asking(context.Background(), "Linger", "hello")
		}
		for range done {
			<-p.local.events // each has called back, and stays at the gate
		}
		p.tell(t, "shutdown")
		p.mustBeRefused(t, "B53")
		if _, err := p.NewStream(context.Background(), bothStream, serviceName, "Echoes", nil); !errors.Is(err, ttrpc.ErrNotExecuted) {
			t.Errorf("B53: a stream after the goodbye: %v", err)
		}
		p.local.open(context.Background(), "")
		for _, err := range done {
			if err := <-err; err != nil {
				t.Errorf("B53: a call that had begun: %v", err)
			}
		}
		<-p.Done()
		p.await(t, "shutdown: <nil>")
	})
}

// TestShutdownHere shuts down while the other process calls and is called. What has begun
// finishes; what it calls later is refused.
func TestShutdownHere(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		held := p.asking(context.Background(), "Relay", "hello")
		<-p.local.events // it has called back, and stays at the gate
		trying := make(chan string, 1)
		go func() {
			why, err := ask(context.Background(), p.Client, "TryUntilRefused", "")
			trying <- fmt.Sprintf("%s, %v", why, err)
		}()
		<-p.local.events // it calls
		shut := make(chan error, 1)
		go func() { shut <- p.Shutdown(context.Background()) }()
		if got, want := <-trying, "not executed: true, Unavailable, <nil>"; got != want {
			t.Errorf("B53: a call of who has shut down: %q, want %q", got, want)
		}
		p.local.open(context.Background(), "")
		if err := <-held; err != nil {
			t.Errorf("B53: a call that calls back, and had begun: %v", err)
		}
		if err := <-shut; err != nil {
			t.Errorf("B53: Shutdown: %v", err)
		}
		<-p.Done()
	})
}
