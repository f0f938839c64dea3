// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// TestCancelByCaller holds what a caller says that gives up, whichever end it is.
func TestCancelByCaller(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(t *testing.T) (context.Context, context.CancelFunc)
		err  error
		data func(t *testing.T) []byte
	}{
		"cancelled": {func(t *testing.T) (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, context.Canceled,
			func(t *testing.T) []byte { return unhex(t, "08011210636f6e746578742063616e63656c6564") }},
		"a deadline": {func(t *testing.T) (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), time.Second)
		}, context.DeadlineExceeded,
			func(t *testing.T) []byte { return statusBytes(t, codes.DeadlineExceeded, "context deadline exceeded") }},
	} {
		for _, streams := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
					ctx, cancel := test.end(t)
					done := make(chan error, 1)
					if streams {
						s := open(t, ctx, e.client, bidi, nil)
						go func() { done <- s.RecvMsg(new(wrapperspb.StringValue)) }()
						defer func() {
							if err := s.SendMsg(nil); !errors.Is(err, test.err) || status.Code(err) != localCode(test.err) {
								t.Errorf("B47: SendMsg afterwards: %v", err)
							}
							e.peer.wantNothing("B47: no more is sent on the stream")
						}()
					} else {
						go func() {
							done <- e.client.Call(ctx, "test", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
						}()
					}
					if f := e.peer.next("B47"); f.Type != messageTypeRequest {
						t.Errorf("%v came", f.Type)
					}
					if test.err == context.Canceled {
						cancel()
					}
					if err := <-done; !errors.Is(err, test.err) || status.Code(err) != localCode(test.err) {
						t.Errorf("B47: %v", err)
					}
					cancel()
					e.peer.want("B47", e.ours(0), messageTypeCancel, 0, test.data(t))
					for _, typ := range []messageType{messageTypeData, messageTypeResponse} {
						e.peer.send(e.ours(0), typ, 0, nil)
					}
					e.peer.wantNothing("B47: what comes late is not answered")
					e.alive("B47", 0)
				})
			})
		}
	}
}

// TestCancelBeforeSending holds that nothing is said of a call of which nothing has left.
func TestCancelBeforeSending(t *testing.T) {
	onStalledClient(t, 20, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := c.Call(ctx, "test", "Method", wrapperspb.String(""), new(wrapperspb.StringValue)); !errors.Is(err, context.Canceled) {
			t.Errorf("B47: %v", err)
		}
		first := goCall(context.Background(), c, new(wrapperspb.StringValue)) // is being written
		synctest.Wait()
		waiting, stop := context.WithCancel(context.Background())
		second, third := goCall(waiting, c, new(wrapperspb.StringValue)), goCall(waiting, c, new(wrapperspb.StringValue))
		synctest.Wait()
		stop()
		for _, done := range []<-chan error{second, third} {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("B47: %v", err)
			}
		}
		go p.receive()
		p.wantRequest("B47", 3, 0)
		p.wantNothing("B47: requests that were queued are withdrawn, and nothing is said of them")
		p.respond(3, nil, nil)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// TestCancelOfParts holds what is said of a request, and of a message, of which a part has
// left.
func TestCancelOfParts(t *testing.T) {
	big := strings.Repeat("x", 3*partSize)
	t.Run("request", func(t *testing.T) {
		onStalledClient(t, partSize, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- c.Call(ctx, "test", "Method", wrapperspb.String(big), new(wrapperspb.StringValue)) }()
			synctest.Wait()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("B47: %v", err)
			}
			go p.receive()
			p.wantFrames("B47: a reset and no cancel",
				headerOf(partSize, 3, messageTypePart, 0), headerOf(0, 3, messageTypePart, flagReset))
			wantFull(t, "B48: of a request that was reset the peer gives back what it was sent", connOf(c), -partSize-messageCharge)
		})
	})
	t.Run("message", func(t *testing.T) {
		onStalledClient(t, partSize, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
			ctx, cancel := context.WithCancel(context.Background())
			s := open(t, ctx, c, bidi, nil)
			p.readFrame()
			if err := s.SendMsg(wrapperspb.String(big)); err != nil {
				t.Error(err)
			}
			behind := goSend(s, nil) // is queued, or waits
			cancel()
			if err := <-behind; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("B47: %v", err)
			}
			synctest.Wait()
			go p.receive()
			p.wantFrames("B47: a reset, then a cancel, and nothing that was queued",
				headerOf(partSize, 3, messageTypePart, flagStream), headerOf(0, 3, messageTypePart, flagReset),
				headerOf(uint32(len(statusBytes(t, codes.Canceled, "context canceled"))), 3, messageTypeCancel, 0))
		})
	})
}

// TestCancelOvertakes holds that a cancel passes what is queued, of other streams too.
func TestCancelOvertakes(t *testing.T) {
	onStalledClient(t, 4096, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancel(context.Background())
		given, other := open(t, ctx, c, bidi, nil), open(t, context.Background(), c, bidi, nil)
		p.readFrame()
		p.readFrame()
		for range 20 { // 4 fit
			for _, s := range []ClientStream{given, other} {
				if err := s.SendMsg(bytesOfLength(t, 1000)); err != nil {
					t.Error(err)
				}
			}
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		go p.receive()
		data, cancelled := 0, false
		for range 60 {
			f := p.next("B47")
			data++
			if f.Type == messageTypeCancel {
				cancelled = true
				break
			}
		}
		if !cancelled || data > 12 { // the pipe, and what was being written
			t.Errorf("B47: the cancel came after %d frames", data)
		}
		for i := data / 2; i < 20; i++ {
			if f := p.next("B47"); f.StreamID != 5 || f.Type != messageTypeData {
				t.Errorf("B47: %v on %d follows the cancel", f.Type, f.StreamID)
			}
		}
	})
}

// TestCancelReachesHandler holds what a callee does, whichever end it is: the handler's
// context ends with the cause, and the stream at once, with one terminal frame.
func TestCancelReachesHandler(t *testing.T) {
	long := strings.Repeat("x", maxControl-8)
	for name, test := range map[string]struct {
		data []byte
		code codes.Code
		msg  string
	}{
		"nothing":             {nil, codes.Canceled, ""},
		"noise":               {[]byte{0xff}, codes.Canceled, ""},
		"code 0":              {statusBytes(t, codes.OK, "why not"), codes.Canceled, "why not"},
		"cancelled":           {statusBytes(t, codes.Canceled, "context canceled"), codes.Canceled, "context canceled"},
		"a deadline":          {statusBytes(t, codes.DeadlineExceeded, "late"), codes.DeadlineExceeded, "context deadline exceeded"},
		"a code of one's own": {statusBytes(t, 77, "x"), 77, "x"},
		"a long text":         {statusBytes(t, codes.Aborted, long), codes.Aborted, long[:wire.MaxReason]},
	} {
		for method, flags := range map[string]uint8{"Wait": 0, "Stall": flagRemoteOpen | flagNoData} {
			t.Run(name+"/"+method, func(t *testing.T) {
				onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
					e.peer.request(e.theirs(0), flags, method, nil)
					handler := <-e.ts.contexts
					e.peer.send(e.theirs(0), messageTypeCancel, 0, test.data)
					if f := e.peer.next("B47"); f.StreamID != e.theirs(0) || f.Type != messageTypeResponse {
						t.Errorf("B47: %v on %d", f.Type, f.StreamID)
					} else if st, _, err := parseResponse(f.data); err != nil || st.GetCode() != int32(test.code) || st.GetMessage() != test.msg {
						t.Errorf("B47: the stream ends with %v, %v", st, err)
					}
					ended := context.Canceled
					if test.code == codes.DeadlineExceeded {
						ended = context.DeadlineExceeded
					}
					if err := context.Cause(handler); handler.Err() != ended || localOr(err) != test.code || err.Error() != test.msg && status.Convert(err).Message() != test.msg {
						t.Errorf("B47: the context ends with %v, cause %v", handler.Err(), err)
					}
					e.peer.send(e.theirs(0), messageTypeCancel, 0, test.data)
					e.peer.wantNothing("B47: a second cancel is late")
					e.ts.answers <- nil
					e.peer.wantNothing("B47: one terminal frame")
					wantClean(t, "B47", e.conn)
					e.alive("B47", 1)
				})
			})
		}
	}
}

// TestCancelUnblocks holds that a handler that waits for a message, or for credit, learns
// of a cancel.
func TestCancelUnblocks(t *testing.T) {
	h := peerHello()
	h.Window = messageCharge
	for name, wait := range map[string]func(StreamServer) error{
		"for a message": func(ss StreamServer) error { return ss.RecvMsg(new(wrapperspb.StringValue)) },
		"for credit":    func(ss StreamServer) error { return ss.SendMsg(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			onExtendedServer(t, h, func(t *testing.T, ts *testServer, p *rawPeer) {
				steps := make(stepper)
				steps.register(ts.Server)
				p.openSteps(3)
				steps.do(func(_ context.Context, ss StreamServer) error { return ss.SendMsg(nil) }) // takes the credit
				p.want("B48", 3, messageTypeData, 0, nil)
				done := make(chan error, 1)
				steps.do(func(_ context.Context, ss StreamServer) error { done <- wait(ss); return io.EOF })
				if len(done) > 0 {
					t.Error("the handler does not wait")
				}
				if name == "for credit" {
					p.want("B48", 3, messageTypeWant, 0, number(messageCharge))
				}
				p.send(3, messageTypeCancel, 0, statusBytes(t, codes.Aborted, "enough"))
				if err := <-done; err == nil {
					t.Error("B47: a handler that waits gets no error")
				}
				p.wantStatus("B47", 3, codes.Aborted, "enough")
				p.wantNothing("B47: one terminal frame")
			})
		})
	}
}

// TestCancelOfPartsOfAnswer holds that an answer which leaves in parts is reset.
func TestCancelOfPartsOfAnswer(t *testing.T) {
	want := func(p *rawPeer, flags uint8) {
		p.wantFrames("B47: a part, a reset, one terminal frame", headerOf(partSize, 3, messageTypePart, flags),
			headerOf(0, 3, messageTypePart, flagReset), headerOf(4, 3, messageTypeResponse, 0))
	}
	t.Run("unary", func(t *testing.T) {
		onStalledServer(t, 4096, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
			ts.Register("large", map[string]Method{"Large": func(context.Context, func(any) error) (any, error) {
				return bytesOfLength(t, 3*partSize), nil
			}})
			p.send(3, messageTypeRequest, 0, encode(t, &Request{Service: "large", Method: "Large"}))
			synctest.Wait()
			p.send(3, messageTypeCancel, 0, nil)
			synctest.Wait()
			go p.receive()
			want(p, 0)
			if got, want := ts.conn.snapshot().Served, (CallCounts{Canceled: 1}); got != want {
				t.Errorf("B55: the call is counted as %+v, want %+v", got, want)
			}
			wantFull(t, "B48: of an answer that was reset the peer gives back what it was sent", ts.conn, -partSize-messageCharge)
		})
	})
	t.Run("stream", func(t *testing.T) {
		onStalledServer(t, 4096, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
			steps := make(stepper)
			steps.register(ts.Server)
			p.openSteps(3)
			steps.do(func(_ context.Context, ss StreamServer) error { return ss.SendMsg(bytesOfLength(t, 3*partSize)) })
			steps.end() // the terminal frame stands behind
			p.send(3, messageTypeCancel, 0, nil)
			synctest.Wait()
			go p.receive()
			want(p, flagStream)
			if got, want := ts.conn.snapshot().Served, (CallCounts{Canceled: 1}); got != want {
				t.Errorf("B55: the stream is counted as %+v, want %+v", got, want)
			}
		})
	})
}

// TestCancelOfOneAnswer holds that a cancel is for one answer of those that leave in parts.
func TestCancelOfOneAnswer(t *testing.T) {
	onStalledServer(t, 4096, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		ts.Register("large", map[string]Method{"Large": func(context.Context, func(any) error) (any, error) {
			return bytesOfLength(t, 3*partSize), nil
		}})
		for _, id := range []uint32{3, 5, 7} {
			p.send(id, messageTypeRequest, 0, encode(t, &Request{Service: "large", Method: "Large"}))
			synctest.Wait()
		}
		came := map[uint32]int{}
		for len(came) < 3 {
			f := p.readFrame()
			came[f.StreamID] += len(f.data)
		}
		p.send(5, messageTypeCancel, 0, nil)
		p.send(99, messageTypeCancel, 0, nil) // of no call at all
		synctest.Wait()
		go p.receive()
		synctest.Wait()
		for _, f := range p.frames {
			came[f.StreamID] += len(f.data)
		}
		for _, id := range []uint32{3, 7} {
			if came[id] < 3*partSize {
				t.Errorf("B47: %d bytes came of the answer to %d, which nobody has cancelled", came[id], id)
			}
		}
		if came[5] >= 3*partSize {
			t.Errorf("B47: %d bytes came of an answer that was cancelled", came[5])
		}
		if got, want := ts.conn.snapshot().Served, (CallCounts{OK: 2, Canceled: 1}); got != want {
			t.Errorf("B55: the calls are counted as %+v, want %+v", got, want)
		}
	})
}

// TestCancelCrosses holds both orders of a cancel and the answer.
func TestCancelCrosses(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		ctx, cancel := context.WithCancel(t.Context())
		done := goCall(ctx, e.client, new(wrapperspb.StringValue))
		e.peer.next("B47")
		e.peer.respond(e.ours(0), nil, wrapperspb.String("answer")) // is on its way
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("B47: a call that was answered before: %v", err)
		}
		e.peer.wantNothing("B47: a call that has ended is not cancelled")
		e.alive("B47", 0)
		e.peer.send(e.theirs(0), messageTypeCancel, 0, nil)
		e.peer.wantNothing("B47: a late cancel is ignored")
		e.alive("B47", 1)
	})
}

// TestCancelBothEnds holds that the cause gets through from the caller's context to the
// handler's, on the same connection in both directions, nested.
func TestCancelBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		causes := make(chan error, 2)
		inner := func(ctx context.Context, _ func(any) error) (any, error) {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil, nil
		}
		p.services.Register("inner", map[string]Method{"Wait": inner})
		p.server.Register("outer", map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, err := PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			err = peer.Call(ctx, "inner", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
			causes <- err
			return nil, err
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- p.client.Call(ctx, "outer", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("B47: %v", err)
		}
		for range 2 {
			if err := <-causes; status.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled) {
				t.Errorf("B47: %v", err)
			}
		}
		wantAllClean(t, "B47", connOf(p.client))
		wantAllClean(t, "B47", p.serverConn())
	})
}

// TestCancelOfWhatIsTooLarge holds that a caller who cannot take what comes says so.
func TestCancelOfWhatIsTooLarge(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		s := open(t, t.Context(), c, bidi, nil)
		p.next("B47")
		p.send(3, messageTypeData, 0, make([]byte, 1001))
		if err := s.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("B49: %v", err)
		}
		p.want("B47", 3, messageTypeCancel, 0, statusBytes(t, codes.ResourceExhausted, oversized(1001, 1000).err.Error()[len("rpc error: code = ResourceExhausted desc = "):]))
		p.wantNothing("B47")
	}, WithClientLimits(Limits{MessageSize: 1000}))
}

// localOr returns the code of a status, or of an error that is one of ours or a context's.
func localOr(err error) codes.Code {
	if st, ok := status.FromError(err); ok {
		return st.Code()
	}
	return localCode(err)
}

// TestExtendedContextEnds holds that a handler's context ends with Serve's, however that
// ends, whether its call has a deadline or not, and what derives from it does, too.
func TestExtendedContextEnds(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Hour} {
		for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
			synctest.Test(t, func(t *testing.T) {
				ts := newTestServer(t, WithServerExtensions())
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				a, b := memconn.Pipe(0)
				ts.accept(ctx, b)
				p := newRawPeer(t, a)
				p.agree(peerHello())
				p.send(3, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: "Wait", TimeoutNano: int64(timeout)}))
				handler := <-ts.contexts
				derived, cancelDerived := context.WithCancel(handler)
				defer cancelDerived()
				synctest.Wait()
				if err := derived.Err(); err != nil {
					t.Errorf("B26: it has ended: %v", err)
				}
				if want == context.Canceled {
					cancel()
				} else {
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				select {
				case <-derived.Done(): // before Err, which looks itself
				default:
					t.Errorf("B26: who waits does not learn of it, with a timeout of %v", timeout)
				}
				if err, err2 := handler.Err(), derived.Err(); err != want || err2 != want {
					t.Errorf("B26: with a timeout of %v: %v, and what derives from it %v, want %v", timeout, err, err2, want)
				}
				ts.answers <- nil
				p.wantResult("B26", 3, wrapperspb.String("waited"))
				a.Close()
			})
		}
	}
}
