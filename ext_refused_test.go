// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// wantRefused requires that a call was refused, has not run, and could run here later.
func wantRefused(t *testing.T, rule string, err error, text string) {
	t.Helper()
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.ResourceExhausted || st.Message() != text || err.Error() != text || !errors.Is(err, ErrNotExecuted) || errors.Is(err, ErrClosed) {
		t.Errorf("%s: %v (not executed: %v), want that it is not executed: %s", rule, err, errors.Is(err, ErrNotExecuted), text)
	}
}

const tooManyText = "ttrpc: more than 1 concurrent calls on the connection"

// TestRefusedOnTheWire holds that the answer to a call which is not run says that, in extended
// mode, and that no other does.
func TestRefusedOnTheWire(t *testing.T) {
	refusal := encode(t, &Response{Status: status.New(codes.ResourceExhausted, tooManyText).Proto()})
	opt := WithServerLimits(Limits{Handlers: 1})
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		p.request(3, 0, "Wait", nil)
		<-ts.contexts
		p.request(5, 0, "Echo", nil)
		p.want("B84: a call", 5, messageTypeResponse, flagRefused, refusal)
		p.request(7, flagRemoteOpen|flagNoData, "Sum", nil)
		p.want("B84: a stream", 7, messageTypeResponse, flagRefused, refusal)
		p.send(9, messageTypePart, 0, echoRequest(t)[:5])
		p.want("B84: in parts", 9, messageTypeResponse, flagRefused, refusal)
		p.request(3, 0, "Echo", nil)
		if f := p.next("B84"); f.StreamID != 3 || f.Flags != 0 {
			t.Errorf("B84: the answer to a used id: %+v", f)
		}
		ts.answers <- status.Error(codes.ResourceExhausted, tooManyText)
		p.want("B84: what a handler returns", 3, messageTypeResponse, 0, refusal)
		p.request(11, 0, "Unknown", nil)
		if f := p.next("B84"); f.StreamID != 11 || f.Flags != 0 {
			t.Errorf("B84: the answer to a call of nothing: %+v", f)
		}
	}, opt)
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.peer.request(1, 0, "Wait", nil)
		<-ts.contexts
		ts.peer.request(3, 0, "Echo", nil)
		ts.peer.want("B84: on a classic connection", 3, messageTypeResponse, 0, refusal)
		ts.answers <- nil
	}, opt)
}

// TestRefusedParked holds the same of calls that would have to be parked and may not, for
// this end has calls under way, too.
func TestRefusedParked(t *testing.T) {
	onParked(t, nil, func(t *testing.T, ts *testServer, p *rawPeer, first uint32, counted *int) {
		mine := goCall(t.Context(), ts.conn.client(), new(wrapperspb.StringValue))
		synctest.Wait()
		p.send(first, messageTypeRequest, 0, encode(t, &Request{Service: "count", Method: "Count"}))
		synctest.Wait()
		go p.receive()
		synctest.Wait()
		if code := p.codeOn(t, first); code != codes.ResourceExhausted || *counted != 0 {
			t.Errorf("B48: a call that may not be parked is answered %v and has run %d times", code, *counted)
		}
		p.mu.Lock()
		for _, f := range p.frames {
			if f.Type == messageTypeResponse && (f.Flags&flagRefused != 0) != (f.StreamID == first) {
				t.Errorf("B84: the answer on %d has flags %#x; %d was not run", f.StreamID, f.Flags, first)
			}
		}
		p.mu.Unlock()
		p.respond(2, nil, nil)
		if err := endOf(t, "B84", mine); err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedHalf holds the same of a request of which nothing more comes when the end that
// is to serve it shuts down.
func TestRefusedHalf(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.send(e.theirs(0), messageTypePart, 0, echoRequest(t)[:1])
		synctest.Wait()
		done := e.shutdown()
		e.peer.wantGoodbye("B53", e.theirs(0))
		time.Sleep(standstill)
		st := status.New(codes.Unavailable, ErrServerClosed.Error())
		e.peer.want("B84", e.theirs(0), messageTypeResponse, flagRefused, encode(t, &Response{Status: st.Proto()}))
		e.peer.wantEnd("B53")
		wantDone(t, "B53", done, nil)
	})
}

// TestRefusedToCaller holds what the caller makes of answers that say, or do not say, that
// the call was not run.
func TestRefusedToCaller(t *testing.T) {
	for name, test := range map[string]struct {
		flags uint8
		code  codes.Code
		want  string // the text, "" for success
		is    bool   // ErrNotExecuted
	}{
		"no room":         {flagRefused, codes.ResourceExhausted, "why", true},
		"leaving":         {flagRefused, codes.Unavailable, ErrNotExecuted.Error() + ": why", true},
		"of another code": {flagRefused, codes.Internal, "why", true},
		"not said":        {0, codes.ResourceExhausted, "why", false},
		"another flag":    {0xff &^ flagRefused, codes.Unavailable, "why", false},
		"success":         {flagRefused, codes.OK, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				check := func(kind string, err error) {
					t.Helper()
					st, ok := status.FromError(err)
					if !ok || st.Code() != test.code || st.Message() != test.want || errors.Is(err, ErrNotExecuted) != test.is {
						t.Errorf("B84: %s: %v (not executed: %v)", kind, err, errors.Is(err, ErrNotExecuted))
					}
				}
				answer := encode(t, &Response{Status: status.New(test.code, "why").Proto()})
				done := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
				e.peer.wantRequest("B84", e.ours(0), 0)
				e.peer.send(e.ours(0), messageTypeResponse, test.flags, answer)
				check("Call", endOf(t, "B84", done))
				s := open(t, t.Context(), e.client, &StreamDesc{StreamingClient: true}, nil)
				e.peer.wantRequest("B84", e.ours(1), flagRemoteOpen|flagNoData)
				e.peer.send(e.ours(1), messageTypeResponse, test.flags&^flagStream, answer)
				for range 2 {
					err := s.RecvMsg(new(wrapperspb.StringValue))
					check("RecvMsg", err)
					if test.want == "" {
						break
					}
				}
			})
		})
	}
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		done := goCall(t.Context(), c, new(wrapperspb.StringValue))
		p.wantRequest("B84", 1, 0)
		p.send(1, messageTypeResponse, flagRefused, encode(t, &Response{Status: status.New(codes.ResourceExhausted, "why").Proto()}))
		if err := endOf(t, "B84", done); status.Code(err) != codes.ResourceExhausted || errors.Is(err, ErrNotExecuted) {
			t.Errorf("B84: a flag that classic connections do not have: %v", err)
		}
	})
}

// TestRefusedForReal holds it from one end to the other, with interceptors, too.
func TestRefusedForReal(t *testing.T) {
	var last error
	note := WithChainUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		last = invoke(ctx, req, resp)
		return last
	})
	for name, opts := range map[string][]ClientOpts{"": nil, "with an interceptor": {note}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newBubblePair(t, []ServerOpt{WithServerLimits(Limits{Handlers: 1})}, opts...)
				ctx, cancel := context.WithCancel(t.Context())
				first := make(chan error, 1)
				go func() {
					first <- p.client.Call(ctx, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
				}()
				synctest.Wait()
				wantRefused(t, "B84", p.client.Call(ctx, "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)), tooManyText)
				if opts != nil {
					wantRefused(t, "B84: the interceptor's", last, tooManyText)
				}
				s := open(t, ctx, p.client, bidi, nil)
				wantRefused(t, "B84: a stream", s.RecvMsg(new(wrapperspb.StringValue)), tooManyText)
				cancel()
				<-first
				synctest.Wait()
				if err := p.client.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
					t.Errorf("B84: a call after the other has ended: %v", err)
				}
			})
		})
	}
}

// TestRefusedFromDial holds that a client of Dial does not leave a connection on which there
// is no room, and repeats what a connection that ends has refused.
func TestRefusedFromDial(t *testing.T) {
	refuse := func(t *testing.T, p *rawPeer, id uint32, code codes.Code) {
		p.wantRequest("B84", id, 0)
		p.send(id, messageTypeResponse, flagRefused, encode(t, &Response{Status: status.New(code, "why").Proto()}))
	}
	onDial(t, func(t *testing.T, d *dialTest) {
		done := d.goCall(t.Context())
		p := d.accept("B84")
		p.answersHello("B84")
		refuse(t, p, 3, codes.ResourceExhausted)
		wantRefused(t, "B84", endOf(t, "B84", done), "why")
		done = d.goCall(t.Context())
		refuse(t, p, 5, codes.Unavailable)
		time.Sleep(defaultBackoffMax)
		next := d.accept("B84")
		next.answersHello("B84")
		next.answers("B84", 3)
		if err := endOf(t, "B84: on the next connection", done); err != nil {
			t.Error(err)
		}
	}, WithExtensions())
	onDial(t, func(t *testing.T, d *dialTest) { // this end's own share
		done := d.goCall(t.Context())
		p := d.accept("B84")
		p.answersHello("B84")
		p.answers("B84", 3)
		err := endOf(t, "B84", done)
		for err == nil {
			_, err = d.NewStream(t.Context(), bidi, "test", "Bidi", nil)
		}
		x := extOf(d.current())
		wantRefused(t, "B84: no share at this end", err, x.noRoomLocked().Message())
		time.Sleep(time.Minute)
		if n := len(d.dials); n != 1 {
			t.Errorf("B84: for want of a share at this end there were %d connections", n)
		}
	}, WithExtensions(), WithClientLimits(Limits{Queue: StreamQueue{ConnectionBytes: 64 << 10}}))
}
