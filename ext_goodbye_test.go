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

// shutdown starts to end the connection in order, and returns where the end will be told.
func (e *extendedEnd) shutdown() <-chan error {
	done := make(chan error, 1)
	go func() {
		if e.conn.role == roleServer {
			done <- e.ts.Shutdown(context.Background())
		} else {
			done <- e.client.Shutdown(context.Background())
		}
	}()
	time.Sleep(settleGrace)
	synctest.Wait()
	return done
}

// wantGoodbye requires the next frame to be one.
func (p *rawPeer) wantGoodbye(rule string, last uint32) {
	p.t.Helper()
	p.want(rule, 0, messageTypeGoodbye, 0, append(number(last), statusBytes(p.t, codes.Unavailable, "the peer is shutting down")...))
}

// TestGoodbyeExample holds the example of PROTOCOL.md.
func TestGoodbyeExample(t *testing.T) {
	f := goodbyeFrame(5, status.New(codes.Unavailable, "the peer is shutting down"))
	if want := unhex(t, "00000021"+"00000000"+"4500"+"00000005"+"080e12197468652070656572206973207368757474696e6720646f776e"); string(f.data) != string(want) {
		t.Errorf("B53: %x, want %x", f.data, want)
	}
}

// TestGoodbyeSaid holds what an end does that shuts down: it finishes what has come, ignores
// what comes later, and closes when nothing is left.
func TestGoodbyeSaid(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.request(e.theirs(0), 0, "Wait", nil)
		e.peer.request(e.theirs(1), flagRemoteOpen|flagNoData, "Sum", nil)
		handler := <-e.ts.contexts
		synctest.Wait()
		done := e.shutdown()
		e.peer.wantGoodbye("B53", e.theirs(1))
		e.peer.request(e.theirs(2), 0, "Echo", wrapperspb.String("late"))
		e.peer.send(e.theirs(3), messageTypePart, 0, []byte("late"))
		e.peer.send(e.theirs(3), messageTypeRequest, 0, nil)
		e.peer.send(e.theirs(4), messageTypeData, 0, nil)
		e.peer.send(e.theirs(4), messageTypeCancel, 0, nil)
		e.peer.wantNothing("B53: what is above is ignored")
		if handler.Err() != nil {
			t.Error("B53: a handler's context has ended")
		}
		e.peer.send(e.theirs(1), messageTypeData, flagRemoteClosed, encode(t, wrapperspb.Int64(4)))
		e.peer.wantResult("B53: a stream goes on", e.theirs(1), wrapperspb.Int64(4))
		e.peer.request(e.theirs(1), 0, "Echo", nil)
		e.peer.wantStatus("B53: the last id that is served", e.theirs(1), codes.InvalidArgument, reusedText)
		wantWaiting(t, "B53: Shutdown", done)
		e.peer.wantAlive("B53")
		e.ts.answers <- nil
		e.peer.wantResult("B53: what runs is answered", e.theirs(0), wrapperspb.String("waited"))
		e.peer.wantEnd("B53: nothing is left")
		if err := <-done; err != nil {
			t.Errorf("B53: Shutdown: %v", err)
		}
		if err := e.conn.why(); !errors.Is(err, ErrClosed) {
			t.Errorf("B53: the cause is %v", err)
		}
	})
}

// TestGoodbyeOfNothing holds that an idle connection gets one, too.
func TestGoodbyeOfNothing(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		want := uint32(0)
		if e.conn.role == roleServer {
			want = 1 // the Hello
		}
		if err := <-e.shutdown(); err != nil {
			t.Errorf("B53: Shutdown: %v", err)
		}
		e.peer.wantGoodbye("B53", want)
		e.peer.wantEnd("B53")
		e.peer.wantNothing("B53: one goodbye")
		if err := e.client.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B53: a call after Shutdown: %v", err)
		}
	})
}

// TestGoodbyeAwaitsParts holds that a request of which parts have come is served.
func TestGoodbyeAwaitsParts(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		request := echoRequest(t)
		for n := range 2 {
			e.peer.send(e.theirs(n), messageTypePart, 0, request[:10])
		}
		synctest.Wait()
		done := e.shutdown()
		e.peer.wantGoodbye("B53", e.theirs(1))
		e.peer.send(e.theirs(1), messageTypeRequest, 0, request[10:])
		e.peer.wantResult("B53: it had begun to arrive", e.theirs(1), wrapperspb.String("alive"))
		wantWaiting(t, "B53: another has begun", done)
		e.peer.send(e.theirs(0), messageTypePart, flagReset, nil)
		e.peer.wantEnd("B53: that was reset")
		if err := <-done; err != nil {
			t.Errorf("B53: Shutdown: %v", err)
		}
	})
}

// TestGoodbyeToHalfARequest holds that requests of which nothing more comes do not hold up
// the end of a connection, but those of which something does are waited for.
func TestGoodbyeToHalfARequest(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		request := echoRequest(t)
		for n := range 2 {
			e.peer.send(e.theirs(n), messageTypePart, 0, request[:1])
		}
		synctest.Wait()
		if s := e.conn.snapshot(); s.State != "active" || s.Arriving != 2 {
			t.Errorf("B55: with two requests that have come in part the connection is %s, and %d are said to arrive", s.State, s.Arriving)
		}
		done := e.shutdown()
		e.peer.wantGoodbye("B53", e.theirs(1))
		at := 1
		for range 3 {
			time.Sleep(standstill / 2)
			e.peer.send(e.theirs(1), messageTypePart, 0, request[at:at+1])
			at++
			synctest.Wait()
		}
		wantWaiting(t, "B53: something comes of one", done)
		if s := e.conn.snapshot(); s.State != "draining" || s.Arriving != 2 {
			t.Errorf("B55: the connection is %s, and %d requests are said to arrive", s.State, s.Arriving)
		}
		start := time.Now()
		if err := <-done; err != nil || time.Since(start) > 2*standstill {
			t.Errorf("B53: Shutdown with requests that stand still: %v after %v", err, time.Since(start))
		}
		refused := map[uint32]bool{}
		for range 2 {
			f := e.peer.next("B53: requests that stand still are refused")
			st, _, err := parseResponse(f.data)
			refused[f.StreamID] = true
			if f.Type != messageTypeResponse || err != nil || st.GetCode() != int32(codes.Unavailable) || st.GetMessage() != ErrServerClosed.Error() {
				t.Errorf("B53: a request that stands still is answered with a %v, %v, %v", f.Type, st, err)
			}
		}
		if !refused[e.theirs(0)] || !refused[e.theirs(1)] {
			t.Errorf("B53: refused are %v", refused)
		}
		e.peer.wantEnd("B53")
	})
}

// TestGoodbyeOurCalls holds that the end which shuts down still gets the answers to its own
// calls, and that its handlers may call back.
func TestGoodbyeOurCalls(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.request(e.theirs(0), 0, "Wait", nil)
		<-e.ts.contexts
		ours := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B53", e.ours(0), 0)
		done := e.shutdown()
		e.peer.wantGoodbye("B53: while a call of ours is under way all are served", allIDs)
		back := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B53: a callback while something runs", e.ours(1), 0)
		e.peer.respond(e.ours(1), nil, nil)
		if err := <-back; err != nil {
			t.Errorf("B53: %v", err)
		}
		e.ts.answers <- nil
		e.peer.wantResult("B53", e.theirs(0), wrapperspb.String("waited"))
		wantWaiting(t, "B53: Shutdown, while a call of ours waits", done)
		e.peer.wantAlive("B53")
		if err := <-goCall(t.Context(), e.client, new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B53: a new call when nothing of the peer's runs: %v", err)
		}
		e.peer.respond(e.ours(0), nil, nil)
		if err := <-ours; err != nil {
			t.Errorf("B53: %v", err)
		}
		e.peer.wantGoodbye("B53: when that has ended", e.theirs(0))
		e.peer.wantEnd("B53")
		<-done
	})
}

// TestGoodbyeServesCallbacks holds that an end which shuts down serves what it is called while
// calls are under way that it made before, whole or in parts, and no longer: calls that it
// makes later do not put off the end.
func TestGoodbyeServesCallbacks(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		ours := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B53", e.ours(0), 0)
		done := e.shutdown()
		e.peer.wantGoodbye("B53", allIDs)
		e.peer.request(e.theirs(0), 0, "Wait", nil)
		<-e.ts.contexts
		later := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
		e.peer.wantRequest("B53: its handler calls", e.ours(1), 0)
		request := echoRequest(t)
		e.peer.send(e.theirs(1), messageTypePart, 0, request[:10])
		e.peer.send(e.theirs(1), messageTypeRequest, 0, request[10:])
		e.peer.wantResult("B53: a callback in parts", e.theirs(1), wrapperspb.String("alive"))
		e.peer.respond(e.ours(0), nil, nil)
		e.peer.wantGoodbye("B53: the call that was under way has ended", e.theirs(1))
		e.peer.request(e.theirs(2), 0, "Echo", wrapperspb.String("late"))
		e.peer.wantNothing("B53: what comes after that is ignored")
		e.peer.respond(e.ours(1), nil, nil)
		e.ts.answers <- nil
		e.peer.wantResult("B53", e.theirs(0), wrapperspb.String("waited"))
		e.peer.wantEnd("B53")
		for _, ended := range []<-chan error{ours, later, done} {
			if err := <-ended; err != nil {
				t.Errorf("B53: %v", err)
			}
		}
	})
}

// TestGoodbyeHeardOfAll holds that an end opens streams up to the last id that is served, but
// only those that handlers of the peer's calls make: they are for that.
func TestGoodbyeHeardOfAll(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.request(e.theirs(0), 0, "Wait", nil)
		handler := <-e.ts.contexts
		e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(1)))
		synctest.Wait()
		wantNotExecuted(t, "B53: no handler's", <-goCall(t.Context(), e.client, new(wrapperspb.StringValue)), "")
		for n := range 2 {
			back := goCall(handler, e.client, new(wrapperspb.StringValue))
			e.peer.wantRequest("B53: up to the last", e.ours(n), 0)
			e.peer.respond(e.ours(n), nil, nil)
			if err := <-back; err != nil {
				t.Errorf("B53: %v", err)
			}
		}
		wantNotExecuted(t, "B53: above the last", <-goCall(handler, e.client, new(wrapperspb.StringValue)), "")
		e.ts.answers <- nil
		e.peer.wantResult("B53", e.theirs(0), wrapperspb.String("waited"))
	})
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.send(0, messageTypeGoodbye, 0, number(allIDs))
		synctest.Wait()
		wantNotExecuted(t, "B53: nothing of the peer's runs", <-goCall(t.Context(), e.client, new(wrapperspb.StringValue)), "")
		e.peer.wantNothing("B53")
	})
}

// wantNotExecuted requires the error of a call that the peer did not begin.
func wantNotExecuted(t *testing.T, rule string, err error, why string) {
	t.Helper()
	st, ok := status.FromError(err)
	if !errors.Is(err, ErrNotExecuted) || !ok || st.Code() != codes.Unavailable || err.Error() != ErrNotExecuted.Error()+": "+why {
		t.Errorf("%s: %v, status %v", rule, err, st)
	}
}

// TestGoodbyeHeard holds what an end does whose peer shuts down.
func TestGoodbyeHeard(t *testing.T) {
	for name, test := range map[string]struct {
		data []byte
		why  string
	}{
		"with a reason": {statusBytes(t, codes.Unavailable, "restarting"), "restarting"},
		"without":       {nil, ""},
		"with noise":    {[]byte{0xff}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
				var calls []<-chan error
				for n := range 3 {
					calls = append(calls, goCall(t.Context(), e.client, new(wrapperspb.StringValue)))
					e.peer.wantRequest("B53", e.ours(n), 0)
				}
				s := open(t, t.Context(), e.client, bidi, nil)
				e.peer.next("")
				e.peer.request(e.theirs(0), 0, "Wait", nil)
				<-e.ts.contexts
				e.peer.send(0, messageTypeGoodbye, 0, append(number(e.ours(1)), test.data...))
				wantNotExecuted(t, "B53: a call above the last", <-calls[2], test.why)
				wantNotExecuted(t, "B53: a stream above the last", s.RecvMsg(new(wrapperspb.StringValue)), test.why)
				wantNotExecuted(t, "B53: a new call", <-goCall(t.Context(), e.client, new(wrapperspb.StringValue)), test.why)
				_, err := e.client.NewStream(t.Context(), bidi, "test", "Stream", nil)
				wantNotExecuted(t, "B53: a new stream", err, test.why)
				e.peer.wantNothing("B53: nothing is sent, nor cancelled")
				wantWaiting(t, "B53: a call up to the last", calls[1])
				e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(1)))
				e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(0)))
				wantNotExecuted(t, "B53: a second goodbye may lower the last", <-calls[1], "")
				e.peer.respond(e.ours(0), nil, nil)
				if err := <-calls[0]; err != nil {
					t.Errorf("B53: %v", err)
				}
				e.alive("B53: the peer may still call", 1)
				e.ts.answers <- nil
				e.peer.wantResult("B53", e.theirs(0), wrapperspb.String("waited"))
				e.peer.send(0, messageTypeGoodbye, 0, number(e.ours(0)+2))
				e.peer.wantEnd("B53: a goodbye that raises the last")
			})
		})
	}
}

// TestGoodbyeToQueued holds that calls that wait to be written were not executed.
func TestGoodbyeToQueued(t *testing.T) {
	onStalledClient(t, 20, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		var calls []<-chan error
		for range 5 {
			calls = append(calls, goCall(t.Context(), c, new(wrapperspb.StringValue)))
			synctest.Wait()
		}
		p.send(0, messageTypeGoodbye, 0, number(1))
		for _, done := range calls {
			wantNotExecuted(t, "B53", <-done, "")
		}
		go p.receive()
		p.wantRequest("B53: what was being written", 3, 0)
		p.wantNothing("B53")
	})
}

// TestGoodbyeBothEnds shuts down either end of a pair with calls in both directions, nested.
func TestGoodbyeBothEnds(t *testing.T) {
	for _, who := range []string{"server", "client", "both"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newBubblePair(t, nil)
				go_ := make(chan struct{})
				p.server.Register("slow", map[string]Method{"Slow": func(ctx context.Context, unmarshal func(any) error) (any, error) {
					<-go_
					return nest(ctx, unmarshal)
				}})
				n := new(wrapperspb.Int64Value)
				done := make(chan error, 1)
				depth := map[string]int64{"server": 1, "client": 5, "both": 1}[who]
				go func() { done <- p.client.Call(t.Context(), "slow", "Slow", wrapperspb.Int64(depth), n) }()
				synctest.Wait()
				stopped := make(chan error, 2)
				if who != "client" {
					go func() { stopped <- p.server.Shutdown(context.Background()) }()
				}
				if who != "server" {
					go func() { stopped <- p.client.Shutdown(context.Background()) }()
				}
				time.Sleep(settleGrace)
				synctest.Wait()
				err := p.echo(t.Context(), "x")
				if who == "client" && !errors.Is(err, ErrClosed) || who != "client" && !errors.Is(err, ErrNotExecuted) {
					t.Errorf("B53: a call after the goodbye: %v", err)
				}
				close(go_)
				if err := <-done; err != nil || n.Value != depth {
					t.Errorf("B53: the call that ran: %v, %v, want %v calls back", n.Value, err, depth)
				}
				if err := <-stopped; err != nil {
					t.Errorf("B53: Shutdown: %v", err)
				}
				<-p.client.Done()
			})
		})
	}
}

// TestGoodbyeHonoursContext holds that Shutdown waits no longer than it may, and may be
// repeated, or followed by Close.
func TestGoodbyeHonoursContext(t *testing.T) {
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		call := goCall(context.Background(), c, new(wrapperspb.StringValue))
		synctest.Wait()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := c.Shutdown(ctx); err != context.DeadlineExceeded {
				t.Errorf("B53: %v", err)
			}
			cancel()
		}
		p.wantRequest("B53", 3, 0)
		p.wantGoodbye("B53", allIDs)
		p.wantNothing("B53: one goodbye")
		c.Close()
		if err := <-call; !errors.Is(err, ErrClosed) {
			t.Errorf("B53: %v", err)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("B53: %v", err)
		}
	})
}

// TestGoodbyeClassic holds that a classic connection that shuts down says nothing.
func TestGoodbyeClassic(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		call := goCall(t.Context(), c, new(wrapperspb.StringValue))
		p.wantRequest("B53", 1, 0)
		done := make(chan error, 1)
		go func() { done <- c.Shutdown(t.Context()) }()
		wantWaiting(t, "B53", done)
		p.wantNothing("B53: classic has no goodbye")
		p.respond(1, nil, nil)
		if err := errors.Join(<-call, <-done); err != nil {
			t.Errorf("B53: %v", err)
		}
		p.wantEnd("B53")
	})
}
