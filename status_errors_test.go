// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// isTold tells whether err is what a caller gets whose call has ended with bare: that, or if
// it is told statuses, one of the right code that errors.Is finds it in.
func isTold(err, bare error, statuses bool) bool {
	if !statuses {
		return err == bare
	}
	st, ok := status.FromError(err)
	want := localCode(bare)
	if bare == ErrClosed {
		return ok && errors.Is(err, bare) && (st.Code() == codes.Canceled || st.Code() == codes.Unavailable)
	}
	return ok && errors.Is(err, bare) && st.Code() == want
}

// wantTold holds what a caller is told: the code, the text, and what errors.Is finds.
func wantTold(t *testing.T, rule string, err error, code codes.Code, text string, is error) {
	t.Helper()
	st, ok := status.FromError(err)
	if !ok || st.Code() != code || err.Error() != text || st.Message() != text || !errors.Is(err, is) {
		t.Errorf("%s: %v (status %v, code %v), want code %v with %q that is %v", rule, err, ok, st.Code(), code, text, is)
	}
}

// A callFailure is how calls and streams end at their caller, and what is told of that.
type callFailure struct {
	ctx  func(context.Context) (context.Context, context.CancelFunc)
	end  func(c *Client, p *rawPeer, cancel func()) // nil if it comes by itself
	bare error                                      // what is told without statuses
	code codes.Code
	text string
}

func failures() map[string]callFailure {
	plainly := context.WithCancel
	return map[string]callFailure{
		"the peer closes": {plainly, func(_ *Client, p *rawPeer, _ func()) { p.conn.Close() },
			ErrClosed, codes.Unavailable, "ttrpc: closed: the peer has closed the connection"},
		"the connection fails": {plainly, func(c *Client, _ *rawPeer, _ func()) { connOf(c).close(errors.New("it broke")) },
			ErrClosed, codes.Unavailable, "ttrpc: closed: the connection has ended: it broke"},
		"Close": {plainly, func(c *Client, _ *rawPeer, _ func()) { c.Close() },
			ErrClosed, codes.Canceled, "ttrpc: closed: this end has closed the connection"},
		"cancelled": {plainly, func(_ *Client, _ *rawPeer, cancel func()) { cancel() },
			context.Canceled, codes.Canceled, "context canceled"},
		"the deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, nil, context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded"},
	}
}

// TestStatusErrors holds what the end of a call and of a stream is told as: on classic
// connections as ever, and as a status with the option and in extended mode.
func TestStatusErrors(t *testing.T) {
	option := func(t *testing.T, f func(t *testing.T, c *Client, p *rawPeer)) { onClient(t, f, WithStatusErrors()) }
	for kind, on := range map[string]func(*testing.T, func(*testing.T, *Client, *rawPeer)){
		"classic":    func(t *testing.T, f func(*testing.T, *Client, *rawPeer)) { onClient(t, f) },
		"the option": option,
		"extended":   func(t *testing.T, f func(*testing.T, *Client, *rawPeer)) { onExtendedClient(t, peerHello(), f) },
	} {
		for name, test := range failures() {
			want := func(t *testing.T, what string, err error) {
				t.Helper()
				if kind != "classic" {
					wantTold(t, "B80: "+what, err, test.code, test.text, test.bare)
				} else if err != test.bare {
					t.Errorf("B80: %s: %v, want %v itself", what, err, test.bare)
				}
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				on(t, func(t *testing.T, c *Client, p *rawPeer) {
					ctx, cancel := test.ctx(t.Context())
					defer cancel()
					call := goCall(ctx, c, new(wrapperspb.StringValue))
					s := open(t, ctx, c, bidi, nil)
					received := make(chan error, 1)
					go func() { received <- s.RecvMsg(new(wrapperspb.StringValue)) }()
					synctest.Wait()
					if test.end != nil {
						test.end(c, p, cancel)
					}
					want(t, "Call", <-call)
					want(t, "RecvMsg", <-received)
					want(t, "SendMsg", s.SendMsg(nil))
					want(t, "CloseSend", s.CloseSend())
					again := s.RecvMsg(new(wrapperspb.StringValue))
					want(t, "RecvMsg again", again)
					if s.RecvMsg(new(wrapperspb.StringValue)) != again {
						t.Error("B21: the same end is another error")
					}
					want(t, "a later Call", <-goCall(ctx, c, new(wrapperspb.StringValue)))
					_, err := c.NewStream(ctx, bidi, "test", "Stream", nil)
					want(t, "a later NewStream", err)
				})
			})
		}
	}
}

// TestStatusErrorsOfMistakes holds the code of what this end refuses.
func TestStatusErrorsOfMistakes(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		wantCode := func(what string, err error, code codes.Code, is error) {
			t.Helper()
			if status.Code(err) != code || is != nil && !errors.Is(err, is) {
				t.Errorf("B80: %s: %v of code %v, want %v that is %v", what, err, status.Code(err), code, is)
			}
		}
		var unmade *typeError
		err := c.Call(t.Context(), "s", "m", 1, nil)
		if wantCode("no message", err, codes.Internal, nil); !errors.As(err, &unmade) {
			t.Errorf("B80: errors.As finds no %T in %v", unmade, err)
		}
		var big *OversizedMessageErr
		err = c.Call(t.Context(), "s", "m", wrapperspb.Bytes(make([]byte, 5<<20)), nil)
		if wantCode("too large", err, codes.ResourceExhausted, nil); !errors.As(err, &big) {
			t.Errorf("B6: errors.As finds no %T in %v", big, err)
		}
		s := open(t, t.Context(), c, bidi, nil)
		wantCode("files", s.SendMsg(&FileMessage{wrapperspb.String(""), []*os.File{os.Stdin}}), codes.FailedPrecondition, ErrNoFiles)
		s.CloseSend()
		wantCode("SendMsg after CloseSend", s.SendMsg(nil), codes.Internal, ErrStreamClosed)
		down := open(t, t.Context(), c, &StreamDesc{StreamingServer: true}, nil)
		wantCode("SendMsg where the client does not stream", down.SendMsg(nil), codes.Internal, ErrProtocol)
		p.respond(3, status.New(codes.DataLoss, "the server's own"), nil)
		wantCode("the server's status", s.RecvMsg(nil), codes.DataLoss, nil)
	})
}

// TestStatusErrorsInHandlers holds what a handler's stream tells in extended mode.
func TestStatusErrorsInHandlers(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(p *rawPeer)
		code codes.Code
		is   error
	}{
		"cancelled":       {func(p *rawPeer) { p.send(3, messageTypeCancel, 0, statusBytes(t, codes.Canceled, "no more")) }, codes.Canceled, context.Canceled},
		"the deadline":    {func(p *rawPeer) { p.send(3, messageTypeCancel, 0, statusBytes(t, codes.DeadlineExceeded, "late")) }, codes.DeadlineExceeded, context.DeadlineExceeded},
		"the peer closes": {func(p *rawPeer) { p.conn.Close() }, codes.Canceled, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
				received := make(chan error, 1)
				ts.RegisterService("own", &ServiceDesc{Streams: map[string]Stream{"Recv": {StreamingClient: true, StreamingServer: true,
					Handler: func(_ context.Context, s StreamServer) (any, error) {
						err := s.RecvMsg(new(wrapperspb.StringValue))
						received <- err
						return nil, err
					}}}})
				p.send(3, messageTypeRequest, flagRemoteOpen|flagNoData, (&requestHead{service: "own", method: "Recv"}).appendFront(nil, 0))
				synctest.Wait()
				test.end(p)
				if err := <-received; status.Code(err) != test.code || !errors.Is(err, test.is) {
					t.Errorf("B80: RecvMsg: %v of code %v, want %v that is %v", err, status.Code(err), test.code, test.is)
				}
			})
		})
	}
}

// TestCancelCauseTravels holds that what the caller's context tells as its cause is told to
// the caller and to the handler.
func TestCancelCauseTravels(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := goCall(ctx, c, new(wrapperspb.StringValue))
		p.wantRequest("B81", 3, 0)
		cancel(errors.New("user pressed stop"))
		wantTold(t, "B81", <-done, codes.Canceled, "context canceled: user pressed stop", context.Canceled)
		p.want("B81", 3, messageTypeCancel, 0, statusBytes(t, codes.Canceled, "context canceled: user pressed stop"))
	})
}

// TestOwnDeadlineIsOneError holds that a server which noticed the caller's deadline first makes
// no difference, to callers and to their interceptors; and that a deadline of the server's own
// stays its status.
func TestOwnDeadlineIsOneError(t *testing.T) {
	var seen error
	watch := WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		seen = invoke(ctx, req, resp)
		return seen
	})
	late := status.New(codes.DeadlineExceeded, "the server's words")
	for name, opts := range map[string][]ClientOpts{"plain": nil, "intercepted": {watch}} {
		t.Run(name, func(t *testing.T) {
			onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				// Its timer has not run, though the time has come.
				ctx := slowContext{t.Context(), time.Now().Add(time.Second)}
				done := goCall(ctx, c, new(wrapperspb.StringValue))
				synctest.Wait()
				s := open(t, ctx, c, bidi, nil)
				time.Sleep(time.Second)
				p.respond(1, late, nil)
				p.respond(3, late, nil)
				synctest.Wait() // the stream's answer is read after the call's
				if err := <-done; err != context.DeadlineExceeded || opts != nil && seen != err {
					t.Errorf("B81: %v; the interceptor sees %v", err, seen)
				}
				if err := s.SendMsg(nil); err != context.DeadlineExceeded {
					t.Errorf("B81: SendMsg: %v", err)
				}
				if err := s.RecvMsg(nil); err != context.DeadlineExceeded {
					t.Errorf("B81: RecvMsg: %v", err)
				}
				done = goCall(slowContext{t.Context(), time.Now().Add(time.Second)}, c, new(wrapperspb.StringValue))
				synctest.Wait()
				p.respond(5, late, nil)
				if err := <-done; status.Convert(err).Message() != late.Message() {
					t.Errorf("B81: a deadline of the server's own: %v", err)
				}
				s = open(t, slowContext{t.Context(), time.Now().Add(time.Second)}, c, bidi, nil)
				p.respond(7, late, nil)
				synctest.Wait()
				if err := s.SendMsg(nil); err != nil {
					t.Errorf("B81: SendMsg after a deadline of the server's own: %v", err)
				}
			}, opts...)
		})
	}
}

// TestSendAtTheDeadline holds the same of who sends in extended mode, waiting for credit or not.
func TestSendAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		defer p.client.Close()
		for _, waits := range []bool{false, true} {
			s, err := p.client.NewStream(slowContext{t.Context(), time.Now().Add(time.Second)}, bidi, "test", "Echoes", nil)
			if err != nil {
				t.Fatal(err)
			}
			for waits { // until nobody takes what comes back
				if err := s.SendMsg(bytesOfLength(t, 100_000)); err != nil {
					if !isTold(err, context.DeadlineExceeded, true) {
						t.Errorf("B81: a SendMsg that waits: %v", err)
					}
					break
				}
			}
			time.Sleep(2 * time.Second)
			if err := s.SendMsg(nil); !isTold(err, context.DeadlineExceeded, true) {
				t.Errorf("B81: SendMsg: %v", err)
			}
			if err := s.RecvMsg(new(wrapperspb.BytesValue)); !waits && !isTold(err, context.DeadlineExceeded, true) {
				t.Errorf("B81: RecvMsg: %v", err)
			}
		}
	})
}

// A slowContext has a deadline, and no timer.
type slowContext struct {
	context.Context
	deadline time.Time
}

func (c slowContext) Deadline() (time.Time, bool) { return c.deadline, true }

// TestHandlerAtTheDeadline holds that a handler's context ends at the caller's deadline with
// DeadlineExceeded, whoever of caller, timer and connection is first.
func TestHandlerAtTheDeadline(t *testing.T) {
	for _, watched := range []bool{false, true} {
		x := &callContext{base: context.Background(), toldLate: true, deadline: time.Now().Add(time.Hour),
			of: &serverCall{stream: stream{conn: &conn{mode: new(extended)}}}}
		child, cancel := context.WithCancel(x)
		if watched {
			child.Done()
		}
		x.cancel(context.DeadlineExceeded)
		for _, ctx := range []context.Context{x, child} {
			<-ctx.Done()
			if ctx.Err() != context.DeadlineExceeded || context.Cause(ctx) != context.DeadlineExceeded {
				t.Errorf("B81: the caller's deadline has passed: %v because of %v", ctx.Err(), context.Cause(ctx))
			}
		}
		cancel()
	}
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t)
		p, _ := ts.connect(t, 0)
		head := requestHead{service: "test", method: "Wait", timeoutNano: int64(time.Second)}
		p.send(1, messageTypeRequest, 0, head.appendBack(head.appendFront(nil, 0)))
		handler := <-ts.contexts
		time.Sleep(time.Second - 1)
		if handler.Err() != nil {
			t.Errorf("B81: before the deadline: %v", handler.Err())
		}
		time.Sleep(time.Nanosecond)
		p.conn.Close() // who gives up closes its connection, as old clients do
		synctest.Wait()
		if handler.Err() != context.DeadlineExceeded {
			t.Errorf("B81: at the deadline: %v", handler.Err())
		}
		ts.answers <- nil
		synctest.Wait()
	})
}

// TestLocalCodes holds which code each error has that this end makes.
func TestLocalCodes(t *testing.T) {
	for want, all := range map[codes.Code][]error{
		codes.Canceled:           {context.Canceled},
		codes.DeadlineExceeded:   {context.DeadlineExceeded},
		codes.ResourceExhausted:  {ErrStreamFull},
		codes.Unimplemented:      {ErrPeerClassic, ErrNoResponseMetadata},
		codes.FailedPrecondition: {ErrNoFiles},
		codes.Internal:           {ErrProtocol, errors.New("another")},
	} {
		for _, err := range all {
			wrapped := fmt.Errorf("with more: %w", err)
			got := asStatus(wrapped, nil)
			if st, ok := status.FromError(got); !ok || st.Code() != want || !errors.Is(got, err) {
				t.Errorf("B80: %v is %v, want %v", err, got, want)
			}
		}
	}
	for cause, want := range map[error]codes.Code{
		nil: codes.Unavailable, io.EOF: codes.Unavailable, errors.New("another"): codes.Unavailable,
		ErrClosed: codes.Canceled, ErrServerClosed: codes.Canceled,
	} {
		if got := asStatus(ErrClosed, cause); status.Code(got) != want || !errors.Is(got, ErrClosed) {
			t.Errorf("B80: the end by %v is %v, want %v", cause, got, want)
		}
	}
	if err := asStatus(io.EOF, nil); err != io.EOF {
		t.Errorf("B80: the end of a stream is %v", err)
	}
}
