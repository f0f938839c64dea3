// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

// TestCreditWaitersEnd holds what ends a SendMsg that waits for credit.
func TestCreditWaitersEnd(t *testing.T) {
	h := peerHello()
	h.Window = messageCharge
	for name, test := range map[string]struct {
		end  func(e *extendedEnd, cancel func())
		want error
	}{
		"its context":    {func(_ *extendedEnd, cancel func()) { cancel() }, context.Canceled},
		"the answer":     {func(e *extendedEnd, _ func()) { e.peer.respond(e.ours(0), nil, nil) }, io.EOF},
		"the connection": {func(e *extendedEnd, _ func()) { e.peer.conn.Close() }, ErrClosed},
		"Close":          {func(e *extendedEnd, _ func()) { e.client.Close() }, ErrClosed},
		"a goodbye":      {func(e *extendedEnd, _ func()) { e.peer.send(0, messageTypeGoodbye, 0, number(0)) }, ErrNotExecuted},
	} {
		t.Run(name, func(t *testing.T) {
			onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := open(t, ctx, e.client, bidi, nil)
				if err := s.SendMsg(nil); err != nil {
					t.Error(err)
				}
				done := goSend(s, nil)
				time.Sleep(24 * time.Hour)
				wantWaiting(t, "B48: no stream fails for being slow", done)
				test.end(e, cancel)
				if err := <-done; err != test.want && !errors.Is(err, test.want) {
					t.Errorf("B48: %v, want %v", err, test.want)
				}
			})
		})
	}
}

// takeCredit takes all frames that have come, and returns the credit they give on an id.
func (p *rawPeer) takeCredit(id uint32) (credit int) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if f.Type == messageTypeCredit && f.StreamID == id {
			n, _ := wire.ParseNumber(f.data)
			credit += int(n)
		}
	}
	p.frames = nil
	return credit
}

// TestCreditForHours holds that who does not consume loses nothing, takes up no more than
// the windows, and delays nobody, for however long.
func TestCreditForHours(t *testing.T) {
	for name, test := range map[string]struct {
		q     StreamQueue
		bound int
	}{
		"streams' windows":        {StreamQueue{Window: 10 << 10, ConnectionBytes: 1 << 20}, 10 * (10<<10 + 1256 + 10)},
		"the connection's window": {StreamQueue{Window: 10 << 10, ConnectionBytes: 100 << 10}, 100<<10 + 11*(1256+10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newBubblePair(t, nil, WithClientLimits(Limits{Queue: test.q}))
				p.server.RegisterService("count", &ServiceDesc{Streams: map[string]Stream{"Up": {StreamingServer: true, Handler: countUp}}})
				var slow []ClientStream
				for range 10 {
					s, err := p.client.NewStream(t.Context(), serverStreams, "count", "Up", wrapperspb.Int64(100))
					if err != nil {
						t.Fatal(err)
					}
					slow = append(slow, s)
				}
				for range 10 {
					time.Sleep(time.Hour)
					synctest.Wait()
					if n := connOf(p.client).total.Load(); n == 0 || n > int64(test.bound) {
						t.Fatalf("B48: %d bytes are held, want at most %d", n, test.bound)
					}
					if err := p.echo(t.Context(), "x"); err != nil {
						t.Fatal(err)
					}
				}
				for _, s := range slow {
					go consume(t, s, 100)
				}
				synctest.Wait()
				wantAllClean(t, "B48", connOf(p.client))
				wantAllClean(t, "B48", p.serverConn())
			})
		})
	}
}

// countUp sends messages of about 250 bytes, whose lengths count.
func countUp(_ context.Context, ss StreamServer) (any, error) {
	n := new(wrapperspb.Int64Value)
	if err := ss.RecvMsg(n); err != nil {
		return nil, err
	}
	for i := range n.Value {
		if err := ss.SendMsg(wrapperspb.Bytes(make([]byte, 200+i))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// consume takes what countUp sends, all of it.
func consume(t *testing.T, s ClientStream, n int) {
	for i := range n {
		m := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(m); err != nil || len(m.Value) != 200+i {
			t.Errorf("B48: message %d has %d bytes, %v", i, len(m.Value), err)
			return
		}
	}
	if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
		t.Errorf("B48: the end: %v", err)
	}
}
