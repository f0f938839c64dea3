// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/faultconn"
	"github.com/containerd/ttrpc/internal/memconn"
)

// A watchedContext counts what waits for its end by context.AfterFunc.
type watchedContext struct {
	context.Context
	onWatch  func() // called before a watch begins
	watchers int
}

// AfterFunc is what context.AfterFunc calls.
func (c *watchedContext) AfterFunc(f func()) (stop func() bool) {
	if c.onWatch != nil {
		c.onWatch()
	}
	stopInner := context.AfterFunc(c.Context, f)
	c.watchers++
	return func() bool {
		c.watchers--
		return stopInner()
	}
}

// Value hides that the context is one of the standard library's.
func (c *watchedContext) Value(any) any { return nil }

// TestStreamsLetGoOfTheirContext holds B21: a context that lives on knows
// nothing of a stream that has ended.
func TestStreamsLetGoOfTheirContext(t *testing.T) {
	for name, end := range map[string]func(c *Client, p *rawPeer){
		"response":         func(_ *Client, p *rawPeer) { p.respond(1, nil, nil) },
		"close":            func(_ *Client, p *rawPeer) { p.send(1, messageTypeData, flagRemoteClosed|flagNoData, nil) },
		"violation":        func(_ *Client, p *rawPeer) { p.send(1, messageTypeRequest, 0, nil) },
		"oversized":        func(_ *Client, p *rawPeer) { p.send(1, messageTypeData, 0, make([]byte, messageLengthMax+1)) },
		"end of the peer":  func(_ *Client, p *rawPeer) { p.conn.Close() },
		"end of the other": func(c *Client, _ *rawPeer) { c.Close() },
	} {
		for _, early := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " before it is watched"}[early], func(t *testing.T) {
				onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
					inner, cancel := context.WithCancel(t.Context())
					defer cancel()
					ctx := &watchedContext{Context: inner}
					if early {
						ctx.onWatch = func() {
							synctest.Wait()
							end(c, p)
							synctest.Wait()
						}
					}
					open(t, ctx, c, bidi, nil)
					synctest.Wait()
					if !early {
						if ctx.watchers != 1 {
							t.Fatalf("B21: a stream's context has %d watchers", ctx.watchers)
						}
						end(c, p)
						synctest.Wait()
					}
					if ctx.watchers != 0 {
						t.Errorf("B21: the context has %d watchers after the stream's end", ctx.watchers)
					}
				})
			})
		}
	}
}

// TestBoundsLetGoOfTheirContext holds B21 of who has waited: a sender, say.
func TestBoundsLetGoOfTheirContext(t *testing.T) {
	inner, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := &watchedContext{Context: inner}
	b := newBound(ctx, sync.NewCond(new(sync.Mutex)), nil)
	if ctx.watchers != 1 || b.errLocked() != nil {
		t.Fatalf("B21: the context has %d watchers, %v", ctx.watchers, b.errLocked())
	}
	b.end()
	if ctx.watchers != 0 {
		t.Errorf("B21: the context has %d watchers afterwards", ctx.watchers)
	}
}

// TestSendEndsWithItsStream holds that a sender who waits, because the peer
// does not read, is told when its stream ends.
func TestSendEndsWithItsStream(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		done := make(chan error, 1)
		ts.RegisterService("flood", &ServiceDesc{Streams: map[string]Stream{"Flood": {
			StreamingClient: true, StreamingServer: true,
			Handler: func(_ context.Context, ss StreamServer) (any, error) {
				done <- flood(ss.SendMsg)
				return nil, nil
			},
		}}})
		a, b := memconn.Pipe(1000)
		ts.accept(t.Context(), b)
		a.Write(frameBytes(1, messageTypeRequest, flagRemoteOpen, encode(t, &Request{Service: "flood", Method: "Flood", TimeoutNano: int64(time.Second)})))
		time.Sleep(time.Second)
		synctest.Wait()
		wantDone(t, "B18: a handler's SendMsg at its deadline", done, context.DeadlineExceeded)
		a.Close()
	})
	onClientOver(t, 1000, func(t *testing.T, c *Client, _ *rawPeer) {
		ctx, cancel := context.WithCancel(t.Context())
		s := open(t, ctx, c, bidi, nil)
		done := make(chan error, 1)
		go func() { done <- flood(s.SendMsg) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		wantDone(t, "B18: SendMsg when its context ends", done, context.Canceled)
	})
}

// probes are frames that a server answers each with a rejection.
func probes(n int) []byte { return make([]byte, n*messageHeaderLength) }

// TestReaderThatWaitsForRoomEnds holds that a server's reader, who waits for
// the peer to read its answers, ends with the connection even if the Write
// that is under way does not.
func TestReaderThatWaitsForRoomEnds(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.Pipe(0)
		stuck := faultconn.New(b, nil, []faultconn.Step{faultconn.Block(0)}, faultconn.Options{NoDeadlines: true, CloseLeavesBlocked: true}) // like NRI's
		ts.accept(t.Context(), stuck)
		a.Write(probes(2000))
		synctest.Wait()
		reads := stuck.Reads()
		if read, _ := stuck.Passed(); read == len(probes(2000)) {
			t.Fatal("B41: the reader does not wait for room")
		}
		ts.Close()
		synctest.Wait()
		if stuck.Reads() == reads {
			t.Error("B25: the reader has not noticed the end of the connection")
		}
		stuck.Release()
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// TestReaderThatWaitsForRoomGoesOn holds B19 for a server whose peer stops
// reading for good: what it sent before is received at once.
func TestReaderThatWaitsForRoomGoesOn(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		const late = 5 * time.Second
		received := make(chan time.Time, 1)
		ts.RegisterService("late", &ServiceDesc{Streams: map[string]Stream{"Recv": {
			StreamingClient: true,
			Handler: func(_ context.Context, ss StreamServer) (any, error) {
				if err := ss.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
					t.Errorf("B19: %v", err)
				}
				received <- time.Now()
				return nil, nil
			},
		}}})
		a, b := memconn.Pipe(0)
		broken := faultconn.New(b, nil, []faultconn.Step{faultconn.Delay(0, late), faultconn.Fail(0, syscall.EPIPE)}, faultconn.Options{})
		start := time.Now()
		ts.accept(t.Context(), broken)
		a.Write(frameBytes(1, messageTypeRequest, flagRemoteOpen, encode(t, &Request{Service: "late", Method: "Recv"})))
		a.Write(probes(2000))
		a.Write(frameBytes(1, messageTypeData, 0, nil))
		if after := (<-received).Sub(start); after != late {
			t.Errorf("B19: the message was received after %v, the peer was lost after %v", after, late)
		}
		a.Close()
	}, WithServerLimits(Limits{Queue: smallQueue}))
}

// A hookedConn calls a function when it is asked for its peer's address.
type hookedConn struct {
	net.Conn
	hook func()
}

func (c *hookedConn) RemoteAddr() net.Addr {
	if hook := c.hook; hook != nil {
		c.hook = nil
		hook()
	}
	return c.Conn.RemoteAddr()
}

// TestShutdownWhileAConnectionStarts holds B25 for a connection that is
// accepted, and not yet read from, when Shutdown begins.
func TestShutdownWhileAConnectionStarts(t *testing.T) {
	onServer(t, func(t *testing.T, ts *testServer) {
		a, b := memconn.Pipe(0)
		p := newRawPeer(t, a)
		p.request(1, 0, "Echo", wrapperspb.String("early"))
		done := make(chan error, 1)
		hooked := &hookedConn{Conn: b, hook: func() {
			go func() { done <- ts.Shutdown(t.Context()) }()
			synctest.Wait()
		}}
		ts.accept(t.Context(), hooked)
		p.wantResult("B25: a call that had arrived", 1, wrapperspb.String("early"))
		time.Sleep(settleGrace)
		synctest.Wait()
		wantDone(t, "B25: Shutdown", done, nil)
		p.wantEnd("B25")
	})
}

// TestInterceptorsKeepPayloads holds that what an interceptor is given stays
// as it is (B14).
func TestInterceptorsKeepPayloads(t *testing.T) {
	var kept []*Response
	keep := func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
		kept = append(kept, resp)
		return invoke(ctx, req, resp)
	}
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		const calls = 50
		for i := range calls {
			done := goCall(t.Context(), c, new(wrapperspb.StringValue))
			id := uint32(2*i + 1)
			p.wantRequest("B14", id, 0)
			p.respond(id, nil, wrapperspb.String(strings.Repeat("x", i)))
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for i, resp := range kept {
			if want := encode(t, wrapperspb.String(strings.Repeat("x", i))); string(resp.Payload) != string(want) {
				t.Errorf("B14: the payload of call %d has become %q", i, resp.Payload)
			}
		}
	}, WithUnaryClientInterceptor(keep))
}

// TestPeerIsLostOnce holds B5 and B12 where writes fail and reads go on: the
// connection ends by itself, once.
func TestPeerIsLostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		a, b := memconn.Pipe(0)
		c := NewClient(faultconn.New(a, nil, []faultconn.Step{faultconn.Fail(20, io.ErrShortWrite)}, faultconn.Options{}), WithOnClose(func() { ended++ }))
		first := goCall(t.Context(), c, new(wrapperspb.StringValue))
		synctest.Wait()
		if err := <-goCall(t.Context(), c, new(wrapperspb.StringValue)); err != ErrClosed {
			t.Errorf("B5: a call after a failed write: %v", err)
		}
		time.Sleep(lostPeerGrace)
		synctest.Wait()
		wantDone(t, "B5: the call whose write failed", first, ErrClosed)
		if c.Cause() != io.ErrShortWrite || ended != 1 {
			t.Errorf("B12: the function for the end ran %d times; B1: the cause is %v", ended, c.Cause())
		}
		b.Close()
	})
}
