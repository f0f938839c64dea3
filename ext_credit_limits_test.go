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

// TestCreditViolatedOnConnection holds the bound of what is outstanding on all streams.
func TestCreditViolatedOnConnection(t *testing.T) {
	const window = 4 << 20
	onEitherEndWith(t, peerHello(), StreamQueue{Window: window, ConnectionBytes: window}, 1000, func(t *testing.T, e *extendedEnd) {
		for n := range 2 {
			e.peer.request(e.theirs(n), flagRemoteOpen|flagNoData, "Stall", nil)
			<-e.ts.contexts
		}
		// One of the largest messages on top for each stream, and one for the connection.
		bound, n := window+3*(1000+messageCharge+maxFiles*fileCharge), 0
		for sent := 1256; sent <= bound; sent += 1256 {
			e.peer.send(e.theirs(n%2), messageTypeData, 0, make([]byte, 1000))
			n++
		}
		e.peer.wantAlive("B48: no more is outstanding than may be")
		e.peer.send(e.theirs(n%2), messageTypeData, 0, make([]byte, 1000))
		e.peer.wantEnd("B48: more is outstanding")
		for range 2 {
			e.ts.answers <- nil
		}
	})
}

// TestCreditWaitersEnd holds what ends a SendMsg that waits for credit.
func TestCreditWaitersEnd(t *testing.T) {
	h := peerHello()
	h.Window = 1
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

// TestCreditOfWithdrawn holds that a message which is withdrawn gives its credit to those
// who wait for the connection's.
func TestCreditOfWithdrawn(t *testing.T) {
	h := peerHello()
	h.ConnectionWindow = 10000
	onStalledClient(t, 4000, h, func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(t.Context())
		given, other := open(t, ctx, c, bidi, nil), open(t, t.Context(), c, bidi, nil)
		if err := <-goSend(other, nil); err != nil {
			t.Error(err)
		}
		for _, n := range []int{4000, 9000} { // is being written, is queued
			if err := <-goSend(given, bytesOfLength(t, n)); err != nil {
				t.Error(err)
			}
		}
		done := goSend(other, nil)
		wantWaiting(t, "B48: the connection has no credit", done)
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("B48: what was withdrawn gave credit, and who waits for it sleeps on")
		}
	})
}

// TestCreditOfManyStreams holds that the connection's credit comes back also if no stream
// has had much of its own.
func TestCreditOfManyStreams(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		ts.RegisterService("steps", &ServiceDesc{Streams: map[string]Stream{"Run": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			err := ss.RecvMsg(new(wrapperspb.BytesValue))
			<-ctx.Done()
			return nil, err
		}}}})
		const n, cost = 40, 4256
		for i := range uint32(n) {
			p.openSteps(3 + 2*i)
		}
		synctest.Wait()
		credit := 100000
		for i := range uint32(n) {
			if credit <= 0 {
				t.Fatalf("B48: all of %d messages was consumed, and the peer has no credit", i)
			}
			p.send(3+2*i, messageTypeData, 0, encode(t, bytesOfLength(t, cost-messageCharge)))
			credit -= cost
			synctest.Wait()
			credit += p.takeCredit(0)
		}
	}, WithServerLimits(Limits{Queue: StreamQueue{Window: 50000, ConnectionBytes: 100000}}))
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
		"the connection's window": {StreamQueue{Window: 10 << 10, ConnectionBytes: 50 << 10}, 50<<10 + 11*(1256+10)},
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

// countUp sends messages of about 1000 bytes, whose lengths count.
func countUp(_ context.Context, ss StreamServer) (any, error) {
	n := new(wrapperspb.Int64Value)
	if err := ss.RecvMsg(n); err != nil {
		return nil, err
	}
	for i := range n.Value {
		if err := ss.SendMsg(wrapperspb.Bytes(make([]byte, 800+i))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// consume takes what countUp sends, all of it.
func consume(t *testing.T, s ClientStream, n int) {
	for i := range n {
		m := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(m); err != nil || len(m.Value) != 800+i {
			t.Errorf("B48: message %d has %d bytes, %v", i, len(m.Value), err)
			return
		}
	}
	if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
		t.Errorf("B48: the end: %v", err)
	}
}
