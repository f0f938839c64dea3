// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

// TestCancelWithDetails holds that what a cancel says costs what it is worth: a code, and a
// bounded text. 32,000 empty details take up 45 times as much as was sent.
func TestCancelWithDetails(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, 0, "Wait", nil)
		ctx := <-ts.contexts
		p.send(3, messageTypeCancel, 0, append([]byte("\x08\x0a\x12\x03why"), bytes.Repeat([]byte{0x1a, 0}, 32_000)...))
		p.wantStatus("B47", 3, codes.Aborted, "why")
		cause := status.Convert(context.Cause(ctx))
		if cause.Code() != codes.Aborted || cause.Message() != "why" || len(cause.Proto().Details) != 0 {
			t.Errorf("B47: the cause is %v", cause)
		}
		ts.answers <- nil
		p.request(5, 0, "Wait", nil)
		ctx = <-ts.contexts
		p.send(5, messageTypeCancel, 0, append([]byte("\x08\x0a\x12\x80\xe0\x03"), make([]byte, 0xf000)...))
		if f := p.next("B47"); len(f.data) > 2*wire.MaxReason || len(status.Convert(context.Cause(ctx)).Message()) > wire.MaxReason {
			t.Errorf("B47: a text of 60 KiB comes back in %d bytes", len(f.data))
		}
		ts.answers <- nil
	})
}

// heldAtMost requires that what a connection holds of messages, by its own count and by that
// of all frames, is within the bound of PROTOCOL.md.
func heldAtMost(t *testing.T, rule string, c *conn) {
	t.Helper()
	synctest.Wait()
	snap := c.snapshot()
	message := chargeOf(c.messageLimit(), maxFiles)
	held := snap.Calls
	for _, s := range snap.Streams {
		held += s.Held
	}
	if bound := snap.WindowsMost + snap.CallsMost + 2*message; held > bound || snap.Windows > snap.WindowsMost || snap.WindowsMost+snap.CallsMost > c.cfg.limits.Queue.ConnectionBytes {
		t.Errorf("%s: %d bytes are held, want at most %d: %+v", rule, held, bound, snap)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	memory := int(c.total.Load())
	for _, m := range extOf(c).parts.open {
		for p := m.frame; p != nil; p = p.next {
			memory += len(p.data)
		}
		memory += m.before
	}
	for f := extOf(c).parked.head; f != nil; f = f.next {
		memory += len(f.data)
	}
	if most := c.cfg.limits.Queue.ConnectionBytes + 2*message; memory > most {
		t.Errorf("%s: %d bytes are in memory, want at most %d", rule, memory, most)
	}
}

// TestBound holds that a peer of whatever kind has no more held than ConnectionBytes and one
// message: parts that are never finished, messages that nobody takes, requests of streams,
// and calls whose answers it does not read. A peer that goes on without credit is parted from.
func TestBound(t *testing.T) {
	const size = 60_000
	data := make([]byte, size)
	open := encode(t, &Request{Service: "holds", Method: "Hold"})
	large := encode(t, &Request{Service: "holds", Method: "Hold", Payload: data})
	type sender func(id uint32, typ messageType, flags uint8, data []byte)
	for name, attack := range map[string]func(send sender, id uint32){
		"first parts of requests": func(send sender, id uint32) { send(id, messageTypePart, 0, data) },
		"first parts of messages": func(send sender, id uint32) {
			send(id, messageTypeRequest, flagRemoteOpen|flagNoData, open)
			send(id, messageTypePart, flagStream, data[:700])
		},
		"first parts without credit": func(send sender, id uint32) {
			send(id, messageTypeRequest, flagRemoteOpen|flagNoData, open)
			send(id, messageTypePart, flagStream, data)
		},
		"a message on each of many streams": func(send sender, id uint32) {
			send(id, messageTypeRequest, flagRemoteOpen|flagNoData, open)
			send(id, messageTypeWant, 0, number(size+messageCharge))
			send(id, messageTypeData, 0, data[:700])
		},
		"one without credit": func(send sender, id uint32) {
			send(id, messageTypeRequest, flagRemoteOpen|flagNoData, open)
			send(id, messageTypeData, 0, data)
		},
		"a message in each of many requests": func(send sender, id uint32) { send(id, messageTypeRequest, flagRemoteOpen, large) },
		"the only message of many streams":   func(send sender, id uint32) { send(id, messageTypeRequest, flagRemoteClosed, large) },
		"calls that are streams":             func(send sender, id uint32) { send(id, messageTypeRequest, 0, large) },
		"parts of answers":                   func(send sender, id uint32) { send(id-1, messageTypePart, 0, data) },
	} {
		t.Run(name, func(t *testing.T) {
			onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
				release := make(chan struct{})
				hold := func(context.Context, StreamServer) (any, error) { <-release; return nil, nil }
				ts.RegisterService("holds", &ServiceDesc{Streams: map[string]Stream{"Hold": {StreamingClient: true, StreamingServer: true, Handler: hold}}})
				send := func(id uint32, typ messageType, flags uint8, data []byte) {
					p.conn.Write(frameBytes(id, typ, flags, data)) // fails if it was parted from
				}
				send(0, messageTypeWant, 0, number(1))
				for i := range uint32(1000) {
					attack(send, 3+2*i)
					if synctest.Wait(); isClosed(ts.conn) {
						break
					}
					heldAtMost(t, "B48: "+name, ts.conn)
				}
				if served := ts.conn.snapshot().Served; served.Refused+served.Failed == 0 && !isClosed(ts.conn) && !strings.HasPrefix(name, "parts of answers") {
					t.Errorf("B48: %s: nothing was refused: %+v", name, ts.conn.snapshot())
				}
				close(release)
				p.conn.Close()
			}, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: 1 << 20}}))
		})
	}
}

// TestStarvedStreams holds that streams whose handlers take nothing, and that have used up
// all their credit, stop no others: a handler that waits for a message on another stream
// gets it, with as many frames as if they were not there.
func TestStarvedStreams(t *testing.T) {
	frames := map[int]int{}
	for _, starved := range []int{0, 135} {
		synctest.Test(t, func(t *testing.T) {
			p := newBubblePair(t, nil)
			got := make(chan struct{})
			p.server.RegisterService("wait", &ServiceDesc{Streams: map[string]Stream{
				"Starve": {StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) { <-got; return new(wrapperspb.BytesValue), nil }},
				"Count": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
					for m := new(wrapperspb.BytesValue); ; {
						if err := ss.RecvMsg(m); err != nil {
							return nil, endOfStream(err)
						}
						if err := ss.SendMsg(m); err != nil {
							return nil, err
						}
					}
				}},
			}})
			var stuck sync.WaitGroup
			for range starved {
				s, err := p.client.NewStream(t.Context(), &StreamDesc{StreamingClient: true}, "wait", "Starve", nil)
				if err != nil {
					t.Fatal(err)
				}
				stuck.Go(func() {
					for s.SendMsg(wrapperspb.Bytes(make([]byte, 1000))) == nil {
					}
				})
			}
			synctest.Wait()
			s, err := p.client.NewStream(t.Context(), bidi, "wait", "Count", nil)
			if err != nil {
				t.Fatal(err)
			}
			conn := connOf(p.client)
			conn.mu.Lock()
			before := conn.pushed
			conn.mu.Unlock()
			for range 1000 {
				m := wrapperspb.Bytes(make([]byte, 64))
				if err := errors.Join(s.SendMsg(m), s.RecvMsg(m)); err != nil {
					t.Fatalf("B48: %v", err)
				}
			}
			conn.mu.Lock()
			frames[starved] = int(conn.pushed - before)
			conn.mu.Unlock()
			close(got)
			p.client.Close()
			stuck.Wait()
		})
	}
	if frames[0] != 1000 || frames[135] != frames[0] {
		t.Errorf("B48: 1000 messages take %d frames, and beside 135 starved streams %d", frames[0], frames[135])
	}
}

// TestControlFramesAreBounded holds that a peer which does not read what it is told ends its
// connection, and when.
func TestControlFramesAreBounded(t *testing.T) {
	onStalledServer(t, 100, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		c, x := ts.conn, extOf(ts.conn)
		for c.why() == nil {
			c.mu.Lock()
			before := x.urgent.bytes
			x.urgeLocked(pingFrame(0, make([]byte, 60<<10)))
			if ends := c.cause != nil; ends != (before > maxUrgent) {
				t.Errorf("B48: with %d bytes of control frames it ends: %v", before, ends)
				c.cause = ErrProtocol
			}
			c.unlock()
		}
		if err := c.why(); !errors.Is(err, ErrProtocol) {
			t.Errorf("B48: it ends with %v", err)
		}
	})
}

// TestRepliesAreBounded holds the same of answers that the reader gives itself, of which none
// is too long.
func TestRepliesAreBounded(t *testing.T) {
	const limit = 100 << 10
	onStalledServer(t, 100, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		c, x := ts.conn, extOf(ts.conn)
		for id := uint32(3); c.why() == nil; id += 2 {
			c.mu.Lock()
			before := x.replies
			c.replyLocked(id, status.New(codes.Unavailable, text(1000)))
			if ends := c.cause != nil; ends != (before > limit) {
				t.Errorf("B48: with %d bytes of answers it ends: %v", before, ends)
				c.cause = ErrProtocol
			}
			c.unlock()
		}
		if err := c.why(); !errors.Is(err, ErrProtocol) {
			t.Errorf("B48: it ends with %v", err)
		}
	}, WithServerLimits(Limits{Queue: StreamQueue{ConnectionBytes: limit}}))
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		c := ts.conn
		for id, n := range map[uint32]int{3: freeAnswer - 20, 5: freeAnswer} {
			c.mu.Lock()
			c.replyLocked(id, status.New(codes.DataLoss, text(n)))
			c.unlock()
			want := text(n)
			if n == freeAnswer {
				want = "ttrpc: the status is too long to be told"
			}
			p.wantStatus("B48: a status", id, codes.DataLoss, want)
		}
	})
}

// TestNoShareForOwnStream holds what a stream fails with that this end has no share for, and
// that nothing is sent of it; calls go on.
func TestNoShareForOwnStream(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, client *Client, p *rawPeer) {
		c, x := connOf(client), extOf(connOf(client))
		window, answer := x.ownLocked()
		c.mu.Lock()
		free := x.streams.size - window - answer
		x.streams.used += free + 1
		c.mu.Unlock()
		_, err := client.NewStream(t.Context(), bidi, "s", "m", nil)
		if st, ok := status.FromError(err); !ok || st.Code() != codes.ResourceExhausted || !errors.Is(err, ErrNotExecuted) || !strings.Contains(err.Error(), "no room") {
			t.Errorf("B48: %v", err)
		}
		p.wantNothing("B48: of a stream without a share")
		c.mu.Lock()
		x.streams.used--
		c.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := client.NewStream(ctx, bidi, "s", "m", nil); err != nil {
			t.Errorf("B48: there is room for it: %v", err)
		}
		cancel()
		synctest.Wait()
		c.mu.Lock()
		x.streams.used -= free
		c.mu.Unlock()
	})
}

// TestRejectedByWhoServesNothing holds that an end without services rejects what makes no
// sense as others do.
func TestRejectedByWhoServesNothing(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, client *Client, p *rawPeer) {
		p.send(2, messageTypeData, 0, nil)
		p.wantStatus("B50", 2, codes.InvalidArgument, inactiveText)
		p.wantAlive("B50")
	})
}

// TestPeerClientWithoutExtensions holds that handlers of a server that has none are told.
func TestPeerClientWithoutExtensions(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.peer.request(1, 0, "Wait", nil)
		ctx := <-ts.contexts
		if client, err := PeerClient(ctx); client != nil || err == nil || !strings.Contains(err.Error(), "WithServerExtensions") {
			t.Errorf("B50: %v, %v", client, err)
		}
		if client, err := PeerClient(t.Context()); client != nil || err == nil {
			t.Errorf("B50: outside of a handler: %v, %v", client, err)
		}
		if got := fmt.Sprint(ctx); got != "ttrpc call" {
			t.Errorf("B26: the context prints as %q", got)
		}
		ts.answers <- nil
		ts.peer.wantResult("B50", 1, wrapperspb.String("waited"))
	})
}
