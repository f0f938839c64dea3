// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package extended

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

var (
	bothStream   = &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	clientStream = &ttrpc.StreamDesc{StreamingClient: true}
	serverStream = &ttrpc.StreamDesc{StreamingServer: true}
)

// mustStream opens a stream that has to work.
func (p *peer) mustStream(t *testing.T, ctx context.Context, desc *ttrpc.StreamDesc, method string, req any) ttrpc.ClientStream {
	t.Helper()
	s, err := p.NewStream(ctx, desc, serviceName, method, req)
	if err != nil {
		t.Fatalf("NewStream of %s: %v", method, err)
	}
	return s
}

func TestCancel(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		ctx, cancel := context.WithCancel(context.Background())
		done := p.asking(ctx, "Wait", "")
		p.mustTell(t, "B47", "waiting")
		cancel()
		p.mustTell(t, "B47", "ended: Canceled")
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("B47: the cancelled call: %v", err)
		}

		ctx, cancel = context.WithCancel(context.Background())
		s := p.mustStream(t, ctx, bothStream, "Hang", nil)
		p.mustTell(t, "B47", "waiting")
		cancel()
		p.mustTell(t, "B47", "ended: Canceled")
		if err := s.RecvMsg(new(blob)); !errors.Is(err, context.Canceled) {
			t.Errorf("B47: the cancelled stream: %v", err)
		}
		p.mustWork(t, "B47")
	})
}

func TestDeadlineCancels(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		done := p.asking(ctx, "Wait", "")
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("B47: the call whose deadline passes: %v", err)
		}
		p.mustTell(t, "B47", "waiting")
		p.mustTell(t, "B47", "ended: DeadlineExceeded")
	})
}

// TestCancelOvertakes has 30 MB queued for a process that stands still before a call of
// it is cancelled. When it goes on, it must learn of that before the 30 MB's handlers
// begin, but for those whose requests were in the socket already.
func TestCancelOvertakes(t *testing.T) {
	const streams, size, socket = 500, 60_000, 1 << 20
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		ctx, cancel := context.WithCancel(context.Background())
		done := p.asking(ctx, "Wait", "")
		p.mustTell(t, "B47", "waiting")
		p.stop(t)
		all := make([]ttrpc.ClientStream, streams)
		for i := range all {
			all[i] = p.mustStream(t, context.Background(), serverStream, "Begin", &blob{size: size})
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("B47: the cancelled call: %v", err)
		}
		p.resume(t)
		for _, s := range all {
			if _, err := drainFlow(s.RecvMsg); err != nil {
				t.Errorf("B47: a stream that was queued: %v", err)
			}
		}
		told := make(map[string]int)
		for range streams + 1 {
			told[p.mustAsk(t, "B47", "Next", "")]++
		}
		if told["ended: Canceled"] != 1 || told["begun, and Wait had ended: true"] < streams-socket/size {
			t.Errorf("B47: the other process tells: %v", told)
		}
	})
}

// TestCancelWithdraws cancels a request of which a part has left: no handler runs.
func TestCancelWithdraws(t *testing.T) {
	inBothRoles(t, "plain", "plain", func(t *testing.T, p *peer) {
		p.stop(t)
		ctx, cancel := context.WithCancel(context.Background())
		s := p.mustStream(t, ctx, serverStream, "Begin", &blob{size: 3 << 20})
		cancel()
		if err := s.RecvMsg(new(blob)); !errors.Is(err, context.Canceled) {
			t.Errorf("B47: the cancelled stream: %v", err)
		}
		p.resume(t)
		done := p.asking(context.Background(), "Pass", "")
		p.mustTell(t, "B47: a handler ran of a request that was withdrawn", "at the gate")
		p.mustAsk(t, "B47", "Open", "")
		if err := <-done; err != nil {
			t.Errorf("B47: a call after it: %v", err)
		}
	})
}
