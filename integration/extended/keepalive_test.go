// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// cause tells why the connection has ended.
func (p *peer) cause() error {
	<-p.Done()
	if p.ends != nil {
		<-p.ends.Done()
		return context.Cause(p.ends)
	}
	return p.Cause()
}

// TestStoppedPeer: who stands still is noticed, by whoever dialled.
func TestStoppedPeer(t *testing.T) {
	t.Parallel() // it mostly waits
	inBothRoles(t, "plain", "watchful", func(t *testing.T, p *peer) {
		done := p.asking(context.Background(), "Wait", "")
		p.mustTell(t, "B52", "waiting")
		p.stop(t)
		if err := <-done; !errors.Is(err, ttrpc.ErrClosed) {
			t.Errorf("B52: a call of a process that stands still: %v", err)
		}
		if err := p.cause(); err != ttrpc.ErrKeepalive {
			t.Errorf("B52: the cause is %v, want %v", err, ttrpc.ErrKeepalive)
		}
		p.resume(t)
	})
}

// TestStoppedServerGoesOn: a process that stood still notices that its caller has
// gone, and takes new connections.
func TestStoppedServerGoesOn(t *testing.T) {
	t.Parallel() // it mostly waits
	proc, address := startServer(t, "plain")
	p := connect(t, proc, address, "watchful")
	p.asking(context.Background(), "Wait", "")
	p.mustTell(t, "B52", "waiting")
	p.stop(t)
	if err := p.cause(); err != ttrpc.ErrKeepalive {
		t.Errorf("B52: the cause is %v, want %v", err, ttrpc.ErrKeepalive)
	}
	p.resume(t)
	again := connect(t, proc, address, "watchful")
	again.mustTell(t, "B52", "ended: Unknown") // by the end of the connection
	again.mustWork(t, "B52")
}

// TestStoppedWatcher: who watches and stood still itself, for longer than it waits for
// others, does not take these for dead.
func TestStoppedWatcher(t *testing.T) {
	t.Parallel() // it mostly waits
	inBothRoles(t, "watchful", "plain", func(t *testing.T, p *peer) {
		p.mustWork(t, "B52")
		p.stop(t)
		time.Sleep(pingInterval + pingTimeout + pingTimeout/2) // which is what this is about
		p.resume(t)
		p.mustWork(t, "B52")
	})
}

// TestBusyPeer: a process that uses all its processors is not taken for one that
// stands still.
func TestBusyPeer(t *testing.T) {
	inBothRoles(t, "plain", "watchful", func(t *testing.T, p *peer) {
		done := p.asking(context.Background(), "Spin", "")
		p.mustTell(t, "B52", "spinning")
		time.Sleep(pingInterval + pingTimeout + pingTimeout/4) // which is what this is about
		p.mustAsk(t, "B52", "Rest", "")
		if err := <-done; err != nil {
			t.Errorf("B52: a call that keeps a process busy: %v", err)
		}
	})
}

// TestPingsTooOften: a server that is pinged too often serves no more, but what it has
// begun.
func TestPingsTooOften(t *testing.T) {
	proc, address := startServer(t, "touchy")
	p := connect(t, proc, address, "watchful")
	other := connect(t, proc, address, "plain")
	done := p.asking(context.Background(), "Pass", "")
	other.mustTell(t, "B52", "at the gate")
	refused := p.mustBeRefused(t, "B52")
	if !strings.Contains(refused.Error(), "pings") {
		t.Errorf("B52: the reason is %q", refused)
	}
	other.mustWork(t, "B52")
	other.mustAsk(t, "B52", "Open", "")
	if err := <-done; err != nil {
		t.Errorf("B52: the call that had begun: %v", err)
	}
	<-p.Done()
}

// mustBeRefused makes calls until one is refused because the other process has said
// goodbye. It returns its error.
func (p *peer) mustBeRefused(t *testing.T, rule string) error {
	t.Helper()
	for {
		_, err := ask(context.Background(), p.Client, "Echo", "hello")
		if err == nil {
			time.Sleep(2 * pingInterval) // pings are sent when nothing else is
			continue
		}
		if !errors.Is(err, ttrpc.ErrNotExecuted) || status.Code(err) != codes.Unavailable {
			t.Errorf("%s: a call after the goodbye: %v", rule, err)
		}
		return err
	}
}
