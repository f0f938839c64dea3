// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// goSend sends a message and returns where its error will be.
func goSend(s ClientStream, m any) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.SendMsg(m) }()
	synctest.Wait()
	return done
}

// wantWaiting requires that something has not ended.
func wantWaiting(t *testing.T, rule string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("%s: it has ended with %v", rule, err)
	default:
	}
}

// wantFull requires that of the credit for requests and answers all is there but diff.
func wantFull(t *testing.T, rule string, c *conn, diff int) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if send := extOf(c).calls.send; send.have-send.full != int64(diff) {
		t.Errorf("%s: the credit of calls is %d more than at first, want %d", rule, send.have-send.full, diff)
	}
}

// TestCreditOfSender holds the example of PROTOCOL.md, to the byte.
func TestCreditOfSender(t *testing.T) {
	h := peerHello()
	h.Window = 8192
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		id := e.ours(0)
		e.peer.wantRequest("B48", id, flagRemoteOpen|flagNoData)
		for range 2 {
			if err := s.SendMsg(bytesOfLength(t, 3000)); err != nil { // 3,256 each
				t.Error(err)
			}
			e.peer.wantFrames("B48", headerOf(3000, id, messageTypeData, 0))
		}
		third := goSend(s, bytesOfLength(t, 3000)) // there are 1,680
		wantWaiting(t, "B48: a message for which there is no credit", third)
		e.peer.wantNothing("B48: nor does it ask, for it fits half of what there was at first")
		e.peer.send(id, messageTypeCredit, 0, number(1575))
		wantWaiting(t, "B48: one byte is missing", third)
		e.peer.send(id, messageTypeCredit, 0, number(1))
		if err := <-third; err != nil {
			t.Error(err)
		}
		e.peer.wantFrames("B48", headerOf(3000, id, messageTypeData, 0))
		large := goSend(s, bytesOfLength(t, 100_000))
		e.peer.want("B48: a large one asks for all that it costs", id, messageTypeWant, 0, number(100_256))
		behind := goSend(s, nil)
		e.peer.send(id, messageTypeCredit, 0, number(100_255))
		wantWaiting(t, "B48: one byte is missing", large)
		wantWaiting(t, "B48: what comes behind waits, too", behind)
		e.peer.wantNothing("B48: it asks once")
		e.peer.send(id, messageTypeCredit, 0, number(1))
		if err := <-large; err != nil {
			t.Error(err)
		}
		e.peer.wantFrames("B48", headerOf(partSize, id, messageTypePart, flagStream), headerOf(100_000-partSize, id, messageTypeData, 0))
		e.peer.send(id, messageTypeCredit, 0, number(256))
		if err := <-behind; err != nil {
			t.Error(err)
		}
		e.peer.wantFrames("B48", headerOf(0, id, messageTypeData, 0))
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		e.peer.want("B48: a close needs none", id, messageTypeData, flagRemoteClosed|flagNoData, nil)
		e.peer.respond(id, nil, nil)
	})
}

// TestCreditReturned holds that credit which was asked for goes back if the message was
// given up, and that one which is smaller takes what it needs.
func TestCreditReturned(t *testing.T) {
	h := peerHello()
	h.Window = 1000
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		s := open(t, t.Context(), e.client, bidi, nil)
		id := e.ours(0)
		e.peer.next("B48")
		giveUp := func(n int) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			done := goSend(s, Within(ctx, bytesOfLength(t, n)))
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("B71: %v", err)
			}
		}
		giveUp(50_000)
		e.peer.want("B48", id, messageTypeWant, 0, number(50_256))
		e.peer.wantNothing("B48: nothing has come that could go back")
		e.peer.send(id, messageTypeCredit, 0, number(49_256))
		e.peer.want("B48: what is of no use", id, messageTypeReturn, 0, number(49_256))
		giveUp(50_000)
		e.peer.want("B48", id, messageTypeWant, 0, number(50_256))
		smaller := goSend(s, bytesOfLength(t, 20_000))
		e.peer.want("B48: a smaller one asks for what it needs", id, messageTypeWant, 0, number(20_256))
		e.peer.send(id, messageTypeCredit, flagAsked, number(49_256))
		if err := <-smaller; err != nil {
			t.Error(err)
		}
		e.peer.want("B48: what a smaller one does not need", id, messageTypeReturn, 0, number(50_256-20_256-1000))
		e.peer.wantFrames("B48", headerOf(20_000, id, messageTypeData, 0))
		giveUp(50_000)
		e.peer.want("B48", id, messageTypeWant, 0, number(50_256))
		larger := goSend(s, bytesOfLength(t, 60_000))
		e.peer.want("B48: a larger one asks again", id, messageTypeWant, 0, number(60_256))
		e.peer.send(id, messageTypeCredit, flagAsked, number(49_256))
		e.peer.wantNothing("B48: all of that is of use")
		e.peer.send(id, messageTypeCredit, 0, number(10_000))
		if err := <-larger; err != nil {
			t.Error(err)
		}
		e.peer.wantFrames("B48", headerOf(60_000, id, messageTypeData, 0))
		e.peer.respond(id, nil, nil)
	})
}

// TestCreditOfCalls holds that requests, also those of streams, and large answers wait in
// line for the credit that they share, and what of a stream is behind its request with it.
func TestCreditOfCalls(t *testing.T) {
	h := peerHello()
	h.ConnectionWindow = 10_000
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		large := func(n int) *preencoded {
			return &preencoded{payloadFor(t, n, func(p []byte) []byte {
				return encode(t, &Request{Service: "test", Method: "Method", Payload: p})
			})}
		}
		call := func(ctx context.Context, n int) <-chan error {
			done := make(chan error, 1)
			go func() { done <- e.client.Call(ctx, "test", "Method", large(n), new(wrapperspb.StringValue)) }()
			synctest.Wait()
			return done
		}
		first := call(t.Context(), 6000)
		e.peer.wantFrames("B48", headerOf(6000, e.ours(0), messageTypeRequest, 0))
		ctx, cancel := context.WithCancel(t.Context())
		second := call(ctx, 4000)
		e.peer.want("B48: who waits says so", 0, messageTypeWant, 0, number(4256))
		s := open(t, t.Context(), e.client, bidi, nil)
		if err := s.SendMsg(nil); err != nil {
			t.Error(err)
		}
		third := call(t.Context(), 30_000)
		e.peer.request(e.theirs(0), 0, "Echo", wrapperspb.String(strings.Repeat("x", 3000)))
		e.alive("B48: small answers are free", 1)
		e.peer.wantNothing("B48: all others are in line")
		if snap := e.conn.snapshot(); snap.QueuedFrames != 5 {
			t.Errorf("B48: %d frames are queued, want 5", snap.QueuedFrames)
		}
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		e.peer.want("B48: one that is larger than all asks for more", 0, messageTypeWant, 0, number(30_256))
		e.peer.wantFrames("B48: one that is given up leaves the line, and nothing is said of it",
			headerOf(uint32(len(streamRequest(t))), e.ours(2), messageTypeRequest, 6), headerOf(0, e.ours(2), messageTypeData, 0))
		e.peer.send(0, messageTypeCredit, 0, number(6256))
		e.peer.wantNothing("B48: that is not for a large one")
		e.peer.send(0, messageTypeCredit, flagAsked, number(30_256))
		e.peer.want("B48: it had its turn", 0, messageTypeWant, 0, number(0))
		e.peer.wantFrames("B48: small ones pass it", headerOf(30_000, e.ours(3), messageTypeRequest, 0), headerOf(3006, e.theirs(0), messageTypeResponse, 0))
		for i, done := range map[int]<-chan error{0: first, 3: third} {
			e.peer.respond(e.ours(i), nil, nil)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		e.peer.respond(e.ours(2), nil, nil)
	})
}

func streamRequest(t *testing.T) []byte {
	return encode(t, &Request{Service: "test", Method: "Stream"})
}

// creditQueue has a stream begin with 1,024 bytes, and requests with 10,240.
var creditQueue = StreamQueue{Window: 4000, ConnectionBytes: 40 << 10}

// TestCreditGiven holds when and how much a receiver gives, to the byte.
func TestCreditGiven(t *testing.T) {
	onEitherEndWith(t, peerHello(), creditQueue, 0, func(t *testing.T, e *extendedEnd) {
		steps := make(stepper)
		steps.register(e.ts.Server)
		id := e.theirs(0)
		e.peer.openSteps(id)
		send := func(cost int) {
			e.peer.send(id, messageTypeData, 0, encode(t, bytesOfLength(t, cost-messageCharge)))
		}
		send(512)
		steps.take(t, "B48", 1)
		e.peer.wantNothing("B48: no more than half of what there was was consumed")
		send(512)
		e.peer.want("B48: more than half is in use, and the window twice as wide", id, messageTypeCredit, 0, number(1024))
		steps.take(t, "B48", 1)
		e.peer.wantNothing("B48: no more than half of that was consumed")
		send(1024)
		e.peer.want("B48: as wide as it gets", id, messageTypeCredit, 0, number(4000-2048))
		steps.take(t, "B48", 1)
		e.peer.want("B48: it is free", id, messageTypeCredit, 0, number(2048))
		for range 2 { // both are of the window
			send(2000)
		}
		steps.take(t, "B48", 1)
		e.peer.wantNothing("B48: half")
		steps.take(t, "B48", 1)
		e.peer.want("B48: the window is as wide as before", id, messageTypeCredit, 0, number(4000))
		e.peer.send(id, messageTypeWant, 0, number(5000))
		e.peer.wantNothing("B48: nobody waits for what was asked for")
		took := make(chan error, 1)
		steps.do(func(_ context.Context, ss StreamServer) error {
			took <- ss.RecvMsg(new(wrapperspb.BytesValue))
			return nil
		})
		e.peer.want("B48: there is room for it", id, messageTypeCredit, flagAsked, number(1000))
		send(5000)
		if err := <-took; err != nil {
			t.Error(err)
		}
		e.peer.want("B48: and for the next", id, messageTypeCredit, 0, number(5000))
		steps.end()
		e.peer.want("B48", id, messageTypeData, flagRemoteClosed|flagNoData, nil)
	})
}

// TestCreditOneOver holds that one stream of a connection is granted more than there is room
// for, first come, first served; and that its turn is over when it has consumed that, has
// given it back, or has ended.
func TestCreditOneOver(t *testing.T) {
	for name, over := range map[string]func(e *extendedEnd, id uint32){
		"consumed": func(e *extendedEnd, id uint32) {
			e.peer.send(id, messageTypeData, 0, encode(e.peer.t, bytesOfLength(e.peer.t, 60_000)))
		},
		"returned": func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeReturn, 0, number(60_256-1024)) },
		"ended":    func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeCancel, 0, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			onEitherEndWith(t, peerHello(), creditQueue, 0, func(t *testing.T, e *extendedEnd) {
				streams := make([]stepper, 3)
				for i := range streams {
					streams[i] = make(stepper)
					e.ts.RegisterService(fmt.Sprint("steps", i), streams[i].service())
					e.peer.send(e.theirs(i), messageTypeRequest, flagRemoteOpen|flagNoData, encode(t, &Request{Service: fmt.Sprint("steps", i), Method: "Run"}))
					synctest.Wait()
				}
				took := make(chan int, 9)
				receive := func(i int) {
					streams[i].do(func(_ context.Context, ss StreamServer) error {
						defer func() { took <- i }()
						return ss.RecvMsg(new(wrapperspb.BytesValue))
					})
				}
				receive(1)
				for i := range 3 {
					e.peer.send(e.theirs(i), messageTypeWant, 0, number(60_256))
				}
				e.peer.want("B48: the first whose receiver waits", e.theirs(1), messageTypeCredit, flagAsked, number(60_256-1024))
				receive(0)
				e.peer.wantNothing("B48: one at a time")
				if snap := e.conn.snapshot(); snap.Waiting != 1 {
					t.Errorf("B48: %d streams wait, want 1", snap.Waiting)
				}
				over(e, e.theirs(1))
				synctest.Wait()
				if got := e.peer.takeCredit(e.theirs(0)); got != 60_256-1024 {
					t.Errorf("B48: its turn is over, and the next gets %d", got)
				}
				receive(2)
				if got := e.peer.takeCredit(e.theirs(2)); got != 0 {
					t.Errorf("B48: the third gets %d, and it is not its turn", got)
				}
				for i := range 3 {
					e.peer.send(e.theirs(i), messageTypeCancel, 0, nil)
				}
				synctest.Wait()
				for i := range 3 {
					select {
					case streams[i] <- func(context.Context, StreamServer) error { return io.EOF }:
					default:
					}
				}
				e.peer.takeCredit(0)
			})
		})
	}
}

// TestCreditOfDropped holds that the credit of requests and answers comes back for all that
// arrives, whatever becomes of it, and that what is late takes none of a stream's.
func TestCreditOfDropped(t *testing.T) {
	large := make([]byte, 5000)
	for _, state := range calleeStates(t) {
		if state.name == "open" {
			continue
		}
		for name, send := range map[string]func(p *rawPeer, id uint32){
			"empty":          func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, nil) },
			"large":          func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, large) },
			"with the close": func(p *rawPeer, id uint32) { p.send(id, messageTypeData, flagRemoteClosed, nil) },
			"over the limit": func(p *rawPeer, id uint32) { p.send(id, messageTypeData, 0, make([]byte, 10001)) },
			"in parts": func(p *rawPeer, id uint32) {
				p.sendLate(state.name, id, large)
				p.send(id, messageTypeData, 0, nil)
			},
			"in parts over the limit": func(p *rawPeer, id uint32) {
				for range 3 {
					p.sendLate(state.name, id, large)
				}
				p.send(id, messageTypeData, 0, nil)
			},
			"a request": func(p *rawPeer, id uint32) { p.send(id, messageTypeRequest, 0, large) },
			"a request in parts": func(p *rawPeer, id uint32) {
				p.send(id, messageTypePart, 0, large)
				p.send(id, messageTypeRequest, 0, nil)
			},
			"a request, reset": func(p *rawPeer, id uint32) {
				p.send(id, messageTypePart, 0, large)
				p.send(id, messageTypePart, flagReset, nil)
			},
			"an answer": func(p *rawPeer, id uint32) { p.send(id, messageTypeResponse, 0, large) },
			"a request too large": func(p *rawPeer, id uint32) {
				p.send(id, messageTypePart, 0, make([]byte, 9000))
				p.send(id, messageTypePart, 0, make([]byte, 9000))
				p.send(id, messageTypeRequest, 0, nil)
			},
		} {
			t.Run(state.name+"/"+name, func(t *testing.T) {
				onEitherEndWith(t, peerHello(), StreamQueue{Window: 1024, ConnectionBytes: 80 << 10}, 10000, func(t *testing.T, e *extendedEnd) {
					state.enter(e, e.theirs(1))
					send(e.peer, e.theirs(1))
					wantRoom(t, e, "B48: "+name+" on "+state.name)
					e.peer.takeCredit(0)
					if state.handler {
						e.ts.answers <- nil
					}
				})
			})
		}
	}
}

// sendLate sends a part of a message, where no request has begun.
func (p *rawPeer) sendLate(state string, id uint32, data []byte) {
	if state != "begun" {
		p.send(id, messageTypePart, flagStream, data)
	}
}

// wantRoom requires that the peer, if it asks, has the credit of all that nobody holds.
func wantRoom(t *testing.T, e *extendedEnd, rule string) {
	t.Helper()
	e.peer.send(0, messageTypeWant, 0, number(1))
	synctest.Wait()
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	if w := extOf(e.conn).calls.recv; w.room != w.size || w.held != 0 || e.conn.cause != nil {
		t.Errorf("%s: %d are held and %d may be sent of %d; cause %v", rule, w.held, w.room, w.size, e.conn.cause)
	}
}

// TestCreditViolated holds that what comes without credit ends the connection, with its
// first byte, and that the cause says so.
func TestCreditViolated(t *testing.T) {
	data := func(n int) []byte { return make([]byte, n) }
	for name, test := range map[string]struct {
		fits, more func(e *extendedEnd, id uint32)
	}{
		"a message": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeData, 0, data(1024-256)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeData, 0, nil) },
		},
		"a message that is too large": {
			func(e *extendedEnd, id uint32) {},
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeData, 0, data(1024-255)) },
		},
		"a part of a message": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypePart, flagStream, data(1024-256)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypePart, flagStream, data(1)) },
		},
		"the last of a message": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypePart, flagStream, data(1024-256)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeData, 0, data(1)) },
		},
		"first parts of requests": {
			func(e *extendedEnd, id uint32) { e.peer.send(e.theirs(1), messageTypePart, 0, data(9000)) },
			func(e *extendedEnd, id uint32) { e.peer.send(e.theirs(2), messageTypePart, 0, data(1000)) },
		},
		"parts that two pay for": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypePart, flagStream, data(10)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypePart, 0, data(1)) },
		},
		"more back than there is": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeReturn, 0, number(1024)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeReturn, 0, number(1)) },
		},
		"nothing back": {
			func(e *extendedEnd, id uint32) {},
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeReturn, 0, number(0)) },
		},
		"a want of nothing": {
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeWant, 0, number(1)) },
			func(e *extendedEnd, id uint32) { e.peer.send(id, messageTypeWant, 0, number(0)) },
		},
		"a want of too much": {
			func(e *extendedEnd, id uint32) {
				e.peer.send(id, messageTypeWant, 0, number(uint32(chargeOf(20_000, maxFiles))))
			},
			func(e *extendedEnd, id uint32) {
				e.peer.send(id, messageTypeWant, 0, number(uint32(chargeOf(20_001, maxFiles))))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			narrow := StreamQueue{Window: 1024, ConnectionBytes: creditQueue.ConnectionBytes}
			onEitherEndWith(t, peerHello(), narrow, 20_000, func(t *testing.T, e *extendedEnd) {
				e.peer.request(e.theirs(0), flagRemoteOpen|flagNoData, "Stall", nil)
				<-e.ts.contexts
				test.fits(e, e.theirs(0))
				e.peer.wantAlive("B48: " + name + ", with credit")
				test.more(e, e.theirs(0))
				e.peer.wantEnd("B48: " + name)
				if err := e.conn.why(); !errors.Is(err, ErrProtocol) {
					t.Errorf("B48: the cause is %v", err)
				}
				e.ts.answers <- nil
			})
		})
	}
}

// TestCreditTooMuch holds that credit has a most on a stream that is active.
func TestCreditTooMuch(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		open(t, t.Context(), e.client, bidi, nil)
		e.peer.next("B48")
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(maxCredit-defaultWindow))
		e.peer.wantAlive("B48: a credit of 2^31-1")
		e.peer.send(e.ours(0), messageTypeCredit, 0, number(1))
		e.peer.wantEnd("B48: a credit of 2^31")
	})
}

// TestFirstWriterLeavesNothing holds that what was queued while a caller wrote its own
// request, be it a message, an urgent frame or a grant, leaves after that.
func TestFirstWriterLeavesNothing(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, client *Client, p *rawPeer) {
		c := connOf(client)
		wrote := func(queueLocked func()) {
			c.mu.Lock()
			c.first, c.writing = newOutFrame(0), true
			queueLocked()
			c.mu.Unlock()
			c.wroteFirst(messageHeaderLength)
		}
		wrote(func() {})
		c.mu.Lock()
		if c.writing {
			t.Error("B19: somebody writes though nothing is queued")
		}
		c.mu.Unlock()
		p.wantNothing("B19")
		wrote(func() { extOf(c).urgeLocked(pingFrame(0, []byte("12345678"))) })
		p.want("B19: an urgent frame", 0, messageTypePing, 0, []byte("12345678"))
		wrote(func() { extOf(c).calls.granted = 7 })
		p.want("B19: a grant", 0, messageTypeCredit, 0, number(7))
		wrote(func() { c.pushLocked(numberFrame(messageTypeCredit, 0, 9)) })
		p.want("B19: a frame", 0, messageTypeCredit, 0, number(9))
	})
}

// TestSendersLearnOfLoss holds that who waits for credit is told at once when a write fails.
func TestSendersLearnOfLoss(t *testing.T) {
	h := peerHello()
	h.Window = 1000
	onExtendedClient(t, h, func(t *testing.T, client *Client, p *rawPeer) {
		s, err := client.NewStream(t.Context(), bidi, "s", "m", nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		took := make(chan time.Duration, 1)
		go func() {
			if err := flood(s.SendMsg); !errors.Is(err, ErrClosed) {
				t.Errorf("B18: %v", err)
			}
			took <- time.Since(start)
		}()
		synctest.Wait()
		connOf(client).nc.(*memconn.Conn).FailWrites(errors.New("the peer takes nothing"))
		go client.Call(t.Context(), "s", "m", wrapperspb.String(""), new(wrapperspb.StringValue))
		if d := <-took; d != 0 {
			t.Errorf("B18: a sender is told after %v", d)
		}
	})
}
