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
)

func TestDialCallsWait(t *testing.T) {
	for name, opts := range map[string][]ClientOpts{
		"plain": nil,
		"intercepted": {WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
			return invoke(ctx, req, resp)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
				brief, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if err := d.Call(brief, "test", "Method", wrapperspb.String(""), nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("B54: a call without a connection ended after %v with %v", time.Since(start), err)
				}
				long, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start = time.Now()
				unary := d.goCall(long)
				streamed := make(chan error, 1)
				go func() {
					_, err := d.NewStream(long, bidi, "test", "Stream", nil)
					streamed <- err
				}()
				wantCallsWaiting(t, "B54", unary)
				d.setFails(nil)
				time.Sleep(defaultBackoffMax)
				p := d.accept("B54")
				dialled := d.dials[len(d.dials)-1]
				p.mu.Lock()
				for _, f := range p.frames {
					r := new(Request)
					if err := plain.unmarshal(f.data, r); err != nil || r.TimeoutNano != int64(time.Hour-dialled.Sub(start)) {
						t.Errorf("B16: the timeout is %v after %v, %v", time.Duration(r.TimeoutNano), dialled.Sub(start), err)
					}
					if f.Flags == 0 {
						p.respond(f.StreamID, nil, wrapperspb.String("resp"))
					}
				}
				p.mu.Unlock()
				if err := errors.Join(endOf(t, "B54", unary), endOf(t, "B54", streamed)); err != nil {
					t.Errorf("B54: %v", err)
				}
			}, opts...)
		})
	}
}

func TestDialFailFast(t *testing.T) {
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		synctest.Wait()
		if s := d.Snapshot(); s.State != "closed" || s.Cause != errRefused.Error() {
			t.Errorf("B54: without a connection it is %v", s)
		}
		wantNeverRan(t, "B54: without a connection", d.Call(t.Context(), "test", "Method", wrapperspb.String(""), nil))
		_, err := d.NewStream(t.Context(), bidi, "test", "Stream", nil)
		wantNeverRan(t, "B54: without a connection", err)
		if !strings.Contains(err.Error(), errRefused.Error()) {
			t.Errorf("B54: it does not say why there is none: %v", err)
		}
		d.setFails(nil)
		time.Sleep(defaultBackoffMax)
		p := d.accept("B54")
		if s := d.Snapshot(); s.State != "idle" {
			t.Errorf("B54: with a connection it is %v", s)
		}
		done := d.goCall(Repeatable(t.Context()))
		p.answers("B54", 1)
		if err := endOf(t, "B54", done); err != nil {
			t.Errorf("B54: %v", err)
		}
		done = d.goCall(Repeatable(t.Context()))
		p.wantRequest("B54", 3, 0)
		d.setFails(errRefused)
		p.conn.Close()
		wantLost(t, "B54: what may have run is not said not to have", endOf(t, "B54", done))
		d.setFails(nil)
		time.Sleep(d.lastEvent().Pause)
		d.accept("B54")
		d.drain() // so young that there is a pause
		d.setFails(errRefused)
		wantNeverRan(t, "B54: is not made again", d.Call(t.Context(), "test", "Method", wrapperspb.String(""), nil))
		err = d.Call(t.Context(), "test", "Method", wrapperspb.String(""), nil)
		wantNeverRan(t, "B54: after a goodbye", err)
		if !strings.Contains(err.Error(), errLeft.Error()) {
			t.Errorf("B54: it does not say why there is no connection: %v", err)
		}
	}, WithDialer(Dialer{FailFast: true}))
}

// TestWaitForConnection holds that what a call's context says of waiting counts.
func TestWaitForConnection(t *testing.T) {
	for _, failFast := range []bool{true, false} {
		onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
			synctest.Wait()
			waiting := d.goCall(WaitForConnection(t.Context(), true))
			quick := WaitForConnection(t.Context(), false)
			wantNeverRan(t, "B112", d.Call(quick, "test", "Method", wrapperspb.String(""), nil))
			_, err := d.NewStream(quick, bidi, "test", "Stream", nil)
			wantNeverRan(t, "B112", err)
			_, err = d.Peer(quick)
			wantNeverRan(t, "B112", err)
			d.setFails(nil)
			time.Sleep(defaultBackoffMax)
			p := d.accept("B112")
			p.answers("B112", 1)
			if err := endOf(t, "B112: it has waited", waiting); err != nil {
				t.Errorf("B112: %v", err)
			}
			if peer, err := d.Peer(quick); err != nil || peer != d.Snapshot().Peer {
				t.Errorf("B112: the peer is %v, %v, and not that of the snapshot", peer, err)
			}
		}, WithDialer(Dialer{FailFast: failFast}))
	}
}

func TestDialGoodbye(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		old := d.accept("B54")
		old.answersHello("B54")
		d.wantEvents("B54", ConnectionEvent{Kind: EventConnecting}, ConnectionEvent{Kind: EventConnected})
		begun := d.goCall(t.Context())
		old.wantRequest("B54", 3, 0)
		refused := d.goCall(t.Context())
		old.wantRequest("B54", 5, 0)
		time.Sleep(defaultBackoffMin)
		old.write(goodbyeFrame(3, status.New(codes.Unavailable, "gone")).data)
		next := d.accept("B54: another is made at once")
		d.wantEvents("B54: nil is for goodbye", ConnectionEvent{Kind: EventDisconnected},
			ConnectionEvent{Kind: EventConnecting}, ConnectionEvent{Kind: EventConnected})
		wantCallsWaiting(t, "B54: the peer has yet to say what it can do", refused)
		next.answersHello("B54")
		next.answers("B54: what was not begun is made again there", 3)
		done := d.goCall(t.Context())
		next.answers("B54: new calls go there", 5)
		for _, done := range []<-chan error{refused, done} {
			if err := endOf(t, "B54", done); err != nil {
				t.Errorf("B54: %v", err)
			}
		}
		old.wantNothing("B54")
		old.wantAlive("B54")
		old.respond(3, nil, wrapperspb.String("resp"))
		if err := endOf(t, "B54: what was begun ends where it was", begun); err != nil {
			t.Errorf("B54: %v", err)
		}
		old.conn.Close()
		d.wantEvents("B54: the end of what was left")
	}, WithExtensions())
}

// A connection that has few ids left takes no new calls, and ends after those that it has; these
// may open streams until then.
func TestDialFewIDs(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		old := d.accept("B45")
		c := d.current()
		pinned := c.client()
		c.mu.Lock()
		c.lastID = fewIDs - 3
		c.mu.Unlock()
		begun := d.goCall(t.Context())
		old.wantRequest("B45", fewIDs-1, 0)
		select {
		case <-pinned.Draining():
			t.Error("B45: Draining, and the ids are not few")
		default:
		}
		last := d.goCall(t.Context())
		old.wantRequest("B45", fewIDs+1, 0)
		<-pinned.Draining()
		time.Sleep(defaultBackoffMin)
		next := d.accept("B45: another is made")
		done := d.goCall(t.Context())
		next.answers("B45: new calls go there", 1)
		old.respond(fewIDs-1, nil, wrapperspb.String("resp"))
		late := goCall(t.Context(), pinned, new(wrapperspb.StringValue))
		old.answers("B45: who has the connection may use it", fewIDs+3)
		old.wantAlive("B45")
		old.respond(fewIDs+1, nil, wrapperspb.String("resp"))
		for _, done := range []<-chan error{begun, last, done, late} {
			if err := endOf(t, "B45", done); err != nil {
				t.Errorf("B45: %v", err)
			}
		}
		time.Sleep(retireEvery)
		old.wantEnd("B45")
	})
}

// With FailFast a call is not made again even if it could be at once.
func TestDialFailFastAfterGoodbye(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		old := d.accept("B54")
		old.answersHello("B54")
		done := d.goCall(Repeatable(t.Context()))
		old.wantRequest("B54", 3, 0)
		time.Sleep(defaultBackoffMin)
		old.write(goodbyeFrame(3, nil).data)
		next := d.accept("B54")
		next.answersHello("B54")
		old.write(goodbyeFrame(1, nil).data)
		wantNeverRan(t, "B54", endOf(t, "B54", done))
		next.wantNothing("B54")
	}, WithExtensions(), WithDialer(Dialer{FailFast: true}))
}

func TestDialExtended(t *testing.T) {
	onDialOver(t, 0, errRefused, func(t *testing.T, d *dialTest) {
		type answer struct {
			is  bool
			err error
		}
		ask := func() <-chan answer {
			asked := make(chan answer, 1)
			go func() {
				is, err := d.Extended(t.Context())
				asked <- answer{is, err}
			}()
			return asked
		}
		asked := ask()
		d.setFails(nil)
		time.Sleep(defaultBackoffMin)
		d.accept("B54").conn.Close() // before it has said anything
		time.Sleep(2 * defaultBackoffMin)
		d.accept("B54").answersHello("B54")
		if got := <-asked; got != (answer{true, nil}) {
			t.Errorf("B54: extended mode: %v", got)
		}
		d.setFails(errRefused)
		d.current().close(io.EOF)
		asked = ask()
		synctest.Wait()
		d.Close()
		if got := <-asked; got.is || !errors.Is(got.err, ErrClosed) || status.Code(got.err) != codes.Canceled {
			t.Errorf("B54: extended mode after Close: %v", got)
		}
	}, WithExtensions(), WithDialer(Dialer{FailFast: true}))
}

func TestDialShutdown(t *testing.T) {
	closed := 0
	onDial(t, func(t *testing.T, d *dialTest) {
		p := d.accept("B54")
		p.answersHello("B54")
		begun := d.goCall(t.Context())
		p.wantRequest("B54", 3, 0)
		ended := make(chan error, 1)
		go func() { ended <- d.Shutdown(t.Context()) }()
		if f := p.next("B53"); f.Type != messageTypeGoodbye {
			t.Errorf("B54: got %v, want a goodbye", f.Type)
		}
		if err := endOf(t, "B54", d.goCall(t.Context())); !errors.Is(err, ErrClosed) || closed != 0 {
			t.Errorf("B54: a call after Shutdown: %v", err)
		}
		wantCallsWaiting(t, "B54", ended)
		p.respond(3, nil, wrapperspb.String("resp"))
		if err := errors.Join(endOf(t, "B54", begun), endOf(t, "B54", ended)); err != nil || closed != 1 || d.Cause() != ErrClosed {
			t.Errorf("B54: Shutdown: %v, %d, %v", err, closed, d.Cause())
		}
		if len(d.dials) != 1 {
			t.Errorf("B54: %d connections", len(d.dials))
		}
	}, WithExtensions(), WithOnClose(func() { closed++ }))
}

func TestDialNotBegunIsMadeAgain(t *testing.T) {
	var unary, streams int
	onDial(t, func(t *testing.T, d *dialTest) {
		d.accept("B54")
		d.drain()
		done := d.goCall(t.Context())
		time.Sleep(defaultBackoffMin)
		p := d.accept("B54")
		p.answers("B54", 1)
		if err := endOf(t, "B54", done); err != nil || unary != 1 {
			t.Errorf("B54: interceptors ran %d times around the attempts, %v", unary, err)
		}
		time.Sleep(defaultBackoffMin)
		d.drain()
		s := open(t, t.Context(), d.Client, bidi, nil)
		p = d.accept("B54")
		p.wantRequest("B54", 1, flagRemoteOpen|flagNoData)
		p.send(1, messageTypeData, 0, encode(t, wrapperspb.String("m")))
		wantRecv(t, "B54", s, "m", nil)
		if streams != 1 {
			t.Errorf("B54: interceptors ran %d times around the attempts", streams)
		}
	}, WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		unary++
		return invoke(ctx, req, resp)
	}), WithChainStreamClientInterceptor(func(ctx context.Context, desc *StreamDesc, method string, open Streamer) (ClientStream, error) {
		streams++
		return open(ctx, desc, method)
	}))
}

func TestDialLostCalls(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		p := d.accept("B54")
		once := d.goCall(t.Context())
		p.wantRequest("B54", 1, 0)
		twice := d.goCall(Repeatable(t.Context()))
		p.wantRequest("B54", 3, 0)
		s := open(t, Repeatable(t.Context()), d.Client, bidi, nil)
		p.wantRequest("B54", 5, flagRemoteOpen|flagNoData)
		p.conn.Close()
		wantLost(t, "B54: is not made again", endOf(t, "B54", once))
		wantRecv(t, "B54: a stream is not", s, "", ErrClosed)
		time.Sleep(defaultBackoffMin)
		p = d.accept("B54")
		p.answers("B54: Repeatable is", 1)
		if err := endOf(t, "B54", twice); err != nil {
			t.Errorf("B54: %v", err)
		}
		p.wantNothing("B54")
	})
}

// TestDialUnwrittenCalls: of a request that was still queued nothing can have run.
func TestDialUnwrittenCalls(t *testing.T) {
	for name, end := range map[string]func(*memconn.Conn){
		"the reader finds the end": func(c *memconn.Conn) { c.FailReads(io.EOF) },
		"the writer finds the end": func(c *memconn.Conn) { c.FailWrites(io.ErrClosedPipe) },
	} {
		t.Run(name, func(t *testing.T) {
			onDialOver(t, messageHeaderLength, nil, func(t *testing.T, d *dialTest) {
				d.accept("B54")
				half := d.goCall(t.Context())
				synctest.Wait()
				unwritten := d.goCall(t.Context())
				synctest.Wait()
				d.mu.Lock()
				d.limit = 0
				d.mu.Unlock()
				end(d.current().nc.(*memconn.Conn))
				time.Sleep(defaultBackoffMin)
				d.accept("B54").answers("B54: the next connection", 1)
				if err := endOf(t, "B54", unwritten); err != nil {
					t.Errorf("B54: %v", err)
				}
				time.Sleep(lostPeerGrace)
				wantLost(t, "B54: half written", endOf(t, "B54", half))
			})
		})
	}
}

func TestDialClose(t *testing.T) {
	closed := 0
	onDial(t, func(t *testing.T, d *dialTest) {
		old := d.accept("B54")
		first := d.goCall(t.Context())
		old.wantRequest("B54", 1, 0)
		d.goodbye()
		time.Sleep(defaultBackoffMin)
		p := d.accept("B54")
		second := d.goCall(Repeatable(t.Context()))
		p.wantRequest("B54", 1, 0)
		d.setFails(errRefused)
		p.conn.(*memconn.Conn).Close()
		synctest.Wait()
		if err := d.Cause(); err != nil || closed != 0 {
			t.Errorf("B54: a lost connection closes the client: %v, %d", err, closed)
		}
		wantCallsWaiting(t, "B54", first)
		wantCallsWaiting(t, "B54", second)
		d.Close()
		for _, done := range []<-chan error{first, second, d.goCall(t.Context())} {
			if err := endOf(t, "B54: Close", done); !errors.Is(err, ErrClosed) {
				t.Errorf("B54: Close ends a call with %v", err)
			}
		}
		old.wantEnd("B54")
		d.Close()
		if err := d.UserOnCloseWait(t.Context()); err != nil || closed != 1 || d.Cause() != ErrClosed {
			t.Errorf("B54: after Close: %v, %d, %v", err, closed, d.Cause())
		}
	}, WithOnClose(func() { closed++ }))
}

func TestDialCloseWhileConnected(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		p := d.accept("B54")
		done := d.goCall(Repeatable(t.Context()))
		p.wantRequest("B54", 1, 0)
		d.wantEvents("B54", ConnectionEvent{Kind: EventConnecting}, ConnectionEvent{Kind: EventConnected})
		d.Close()
		if err := endOf(t, "B54", done); !errors.Is(err, ErrClosed) {
			t.Errorf("B54: Close ends a call with %v", err)
		}
		d.wantEvents("B54", ConnectionEvent{Kind: EventDisconnected, Err: ErrClosed})
		p.wantEnd("B54")
	})
}

// A connection that is lost to an error of the transport is replaced, and its
// cause told.
func TestDialCauseIsTold(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		p := d.accept("B54")
		done := d.goCall(t.Context())
		p.answers("B54", 1)
		endOf(t, "B54", done)
		time.Sleep(defaultBackoffMin / 2)
		connection := &Client{dialOf(d.Client).current.cfg, dialOf(d.Client).current}
		p.conn.Close()
		<-connection.Done()
		d.wantEvents("B54", ConnectionEvent{Kind: EventConnecting}, ConnectionEvent{Kind: EventConnected},
			ConnectionEvent{Kind: EventDisconnected, Err: io.EOF, Pause: defaultBackoffMin / 2})
	})
}
