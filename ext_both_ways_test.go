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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestNestedCalls holds that callbacks into each other, 100 deep, end.
func TestNestedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		for _, depth := range []int64{0, 1, 2, 100} {
			n := new(wrapperspb.Int64Value)
			if err := p.client.Call(t.Context(), "test", "Nest", wrapperspb.Int64(depth), n); err != nil || n.Value != depth {
				t.Errorf("B50: %d calls deep: %d, %v", depth, n.Value, err)
			}
		}
		wantAllClean(t, "B50", connOf(p.client))
		wantAllClean(t, "B50", p.serverConn())
	})
}

// TestCrowdBothWays holds that 1,000 calls at once in each direction, of all sizes, end.
func TestCrowdBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBubblePair(t, nil)
		server := p.serverConn().client()
		var wg sync.WaitGroup
		for i := range 1000 {
			for _, c := range []*Client{p.client, server} {
				wg.Add(1)
				go func() {
					defer wg.Done()
					want := strings.Repeat("x", (i*97)%300)
					if i%100 == 0 {
						want = strings.Repeat("y", partSize+i)
					}
					m := new(wrapperspb.StringValue)
					if err := c.Call(t.Context(), "test", "Echo", wrapperspb.String(want), m); err != nil || m.Value != want {
						t.Errorf("B50: call %d: %d bytes, %v", i, len(m.Value), err)
					}
				}()
			}
		}
		wg.Wait()
		wantAllClean(t, "B50", connOf(p.client))
		wantAllClean(t, "B50", p.serverConn())
	})
}

// TestCallbackOnTheWire holds the example of PROTOCOL.md: a handler calls back.
func TestCallbackOnTheWire(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.ts.Register("vec.Echo", map[string]Method{"Echo": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			peer, err := PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			m := new(wrapperspb.StringValue)
			return m, errors.Join(unmarshal(m), peer.Call(ctx, "vec.Echo", "Empty", new(wrapperspb.StringValue), new(wrapperspb.StringValue)))
		}})
		e.peer.send(e.theirs(0), messageTypeRequest, 0, unhex(t, "0a087665632e4563686f12044563686f1a070a0568656c6c6f"))
		e.peer.want("B50", e.ours(0), messageTypeRequest, 0, unhex(t, "0a087665632e4563686f1205456d707479"))
		e.peer.wantNothing("B50")
		e.peer.send(e.ours(0), messageTypeResponse, 0, nil)
		e.peer.want("B50", e.theirs(0), messageTypeResponse, 0, unhex(t, "12070a0568656c6c6f"))
	})
}

// TestIdsOfBothEnds holds who takes which ids, and that they must rise, with gaps.
func TestIdsOfBothEnds(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		for n := range 4 {
			call := goCall(t.Context(), e.client, new(wrapperspb.StringValue))
			e.peer.wantRequest("B50", e.ours(n), 0)
			e.peer.respond(e.ours(n), nil, nil)
			if err := <-call; err != nil {
				t.Error(err)
			}
		}
		e.alive("B50", 0)
		e.alive("B50: a gap", 7)
		for _, n := range []int{0, 1, 6, 7} {
			e.peer.request(e.theirs(n), 0, "Echo", nil)
			e.peer.wantStatus("B50", e.theirs(n), codes.InvalidArgument, reusedText)
		}
		e.peer.send(e.theirs(9), messageTypePart, 0, nil)
		e.peer.request(e.theirs(8), 0, "Echo", nil)
		e.peer.wantStatus("B50: a part came with a higher id", e.theirs(8), codes.InvalidArgument, reusedText)
		e.peer.send(e.theirs(9), messageTypeRequest, 0, echoRequest(t))
		e.peer.wantResult("B50", e.theirs(9), wrapperspb.String("alive"))
		e.alive("B50: a large gap", 1<<30)
	})
}

// TestPeerServesNothing holds that calls to it fail at once, without a frame; and that such
// a client refuses those that come all the same.
func TestPeerServesNothing(t *testing.T) {
	h := peerHello()
	h.Serves = false
	onEitherEndWith(t, h, StreamQueue{}, 0, func(t *testing.T, e *extendedEnd) {
		err := e.client.Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue))
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("B50: %v", err)
		}
		if _, err := e.client.NewStream(t.Context(), bidi, "test", "Stream", nil); status.Code(err) != codes.Unimplemented {
			t.Errorf("B50: %v", err)
		}
		e.peer.wantNothing("B50: no frame is sent")
		e.alive("B50", 0)
	})
	onExtendedClient(t, peerHello(), func(t *testing.T, c *Client, p *rawPeer) {
		request := echoRequest(t)
		p.send(2, messageTypeRequest, 0, request)
		p.wantStatus("B50", 2, codes.Unimplemented, errServesNothing)
		p.send(4, messageTypePart, 0, request[:5])
		p.send(4, messageTypeRequest, flagRemoteOpen, request[5:])
		p.wantStatus("B50", 4, codes.Unimplemented, errServesNothing)
	})
}

// TestPeerClassic holds what calls to a peer give that has not agreed.
func TestPeerClassic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, WithServerExtensions())
		called := make(chan error, 2)
		ts.Register("back", map[string]Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, err := PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			called <- peer.Call(ctx, "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue))
			_, err = peer.NewStream(ctx, bidi, "test", "Bidi", nil)
			called <- err
			return wrapperspb.String(""), nil
		}})
		ts.peer.send(1, messageTypeRequest, 0, encode(t, &Request{Service: "back", Method: "Call"}))
		for range 2 {
			if err := <-called; err != ErrPeerClassic {
				t.Errorf("B50: %v", err)
			}
		}
		ts.peer.wantResult("B50: nothing but the answer is sent", 1, wrapperspb.String(""))
		ts.peer.wantNothing("B50")
	})
}

// TestPeerClientIsItsConnections holds that no handler gets the client of another peer, and
// that all of a connection get the same.
func TestPeerClientIsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newExtendedServers(t, nil).server
		t.Cleanup(func() { server.Close() })
		server.Register("who", map[string]Method{"Who": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, err := PeerClient(ctx)
			if again, _ := PeerClient(context.WithoutCancel(ctx)); again != peer {
				t.Error("B50: a handler has two clients of its peer")
			}
			m := new(wrapperspb.StringValue)
			return m, errors.Join(err, peer.Call(ctx, "name", "Name", m, m))
		}})
		var wg sync.WaitGroup
		for i := range 20 {
			name := fmt.Sprint("client ", i)
			services, _ := NewServer()
			services.Register("name", map[string]Method{"Name": func(ctx context.Context, _ func(any) error) (any, error) {
				self, err := PeerClient(ctx)
				if self == nil || connOf(self).role != roleClient {
					t.Error("B50: the client's handlers have another peer than the server")
				}
				return wrapperspb.String(name), err
			}})
			a, b := memconn.Pipe(0)
			server.accept(t.Context(), b)
			c := NewClient(a, WithClientServices(services))
			t.Cleanup(func() { c.Close(); services.Close() })
			for range 10 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					m := new(wrapperspb.StringValue)
					if err := c.Call(t.Context(), "who", "Who", m, m); err != nil || m.Value != name {
						t.Errorf("B50: %s is taken for %s, %v", name, m.Value, err)
					}
				}()
			}
		}
		wg.Wait()
	})
	if _, err := PeerClient(context.Background()); err == nil {
		t.Error("B50: a context of nobody's has a client")
	}
	if c, err := ClientFromContext(context.Background(), func(c *Client) *Client { return c }); err == nil || c != nil {
		t.Errorf("B50: a context of nobody's: %v, %v", c, err)
	}
}

// TestPeerClientAfterHandler holds how long it may be used, and what tells of the end.
func TestPeerClientAfterHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		p := newBubblePair(t, []ServerOpt{WithPeerClientOptions(WithOnClose(func() { closed++ }), WithClientTimeouts(Timeouts{Call: time.Minute}))})
		peers := make(chan *Client, 1)
		p.server.Register("keep", map[string]Method{"Keep": func(ctx context.Context, _ func(any) error) (any, error) {
			c, err := ClientFromContext(ctx, func(c *Client) *Client { return c })
			peers <- c
			return wrapperspb.String(""), err
		}})
		if err := p.client.Call(t.Context(), "keep", "Keep", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		peer := <-peers
		time.Sleep(time.Hour)
		if err := peer.Call(t.Context(), "test", "Echo", wrapperspb.String("x"), new(wrapperspb.StringValue)); err != nil {
			t.Errorf("B50: after the handler: %v", err)
		}
		start := time.Now()
		if err := peer.Call(t.Context(), "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue)); status.Code(err) != codes.DeadlineExceeded && err != context.DeadlineExceeded || time.Since(start) != time.Minute {
			t.Errorf("B50: its default timeout: %v after %v", err, time.Since(start))
		}
		select {
		case <-peer.Done():
			t.Error("B50: Done before the end")
		default:
		}
		p.client.Close()
		<-peer.Done()
		if closed != 1 || peer.Cause() != io.EOF {
			t.Errorf("B50: its close notice came %d times, and the cause is %v", closed, peer.Cause())
		}
		if err := peer.Call(t.Context(), "test", "Echo", wrapperspb.String("x"), new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B50: after the end: %v", err)
		}
	})
}

// TestPeerClientAtTheEnd holds that who asks for it while the connection ends gets one that
// has ended.
func TestPeerClientAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, WithServerExtensions())
		ts.peer.agree(peerHello())
		gone := ts.conn.gone
		ts.conn.gone = func(ended *conn) {
			c := ts.conn.client()
			gone(ended)
			<-c.Done()
			<-ts.conn.client().Done()
		}
		ts.peer.conn.Close()
		synctest.Wait()

		p, c := ts.connect(t, 0)
		p.agree(peerHello())
		p.conn.Close()
		synctest.Wait()
		<-c.client().Done() // asked for when all is over
		if err := c.client().Call(t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); !errors.Is(err, ErrClosed) {
			t.Errorf("B50: %v", err)
		}
	})
}

// TestBothWaysAlike holds that calls of the server have all that calls of the client have.
func TestBothWaysAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []string
		note := func(who string) UnaryServerInterceptor {
			return func(ctx context.Context, u Unmarshaler, info *UnaryServerInfo, m Method) (any, error) {
				md, _ := GetMetadata(ctx)
				deadline, _ := ctx.Deadline()
				saw = append(saw, fmt.Sprint(who, info.FullMethod, md["key"], time.Until(deadline)))
				return m(ctx, u)
			}
		}
		sent := 0
		p := newBubblePair(t, []ServerOpt{WithUnaryServerInterceptor(note("server")), WithPeerClientOptions(
			WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
				sent++
				return invoke(ctx, req, resp)
			}))})
		p.services.dispatcher.unary = note("client")
		ctx, cancel := context.WithTimeout(WithMetadata(t.Context(), MD{"key": {"value"}}), time.Minute)
		defer cancel()
		for _, c := range []*Client{p.client, p.serverConn().client()} {
			m := new(wrapperspb.StringValue)
			if err := c.Call(ctx, "test", "Echo", wrapperspb.String("x"), m); err != nil || m.Value != "x" {
				t.Errorf("B50: %v, %v", m, err)
			}
			s, err := c.NewStream(ctx, bidi, "test", "Echoes", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{"one", "two"} {
				b := new(wrapperspb.BytesValue)
				if err := errors.Join(s.SendMsg(wrapperspb.Bytes([]byte(text))), s.RecvMsg(b)); err != nil || string(b.Value) != text {
					t.Errorf("B50: a stream: %q, %v", b.Value, err)
				}
			}
			if err := errors.Join(s.CloseSend(), endOfStream(s.RecvMsg(m))); err != nil {
				t.Errorf("B50: a stream: %v", err)
			}
			err = c.Call(ctx, "test", "None", m, m)
			if status.Code(err) != codes.Unimplemented || status.Convert(err).Message() != "method None" {
				t.Errorf("B50: %v", err)
			}
		}
		if want := "[server/test/Echo[value] 1m0s client/test/Echo[value] 1m0s]"; fmt.Sprint(saw) != want || sent != 2 {
			t.Errorf("B50: the interceptors saw %v and %d calls, want %s", saw, sent, want)
		}
	})
}

// TestConnectionHook holds when it runs, and what its context is good for.
func TestConnectionHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type ended struct{ call, cause, err error }
		results := make(chan ended, 1)
		p := newBubblePair(t, []ServerOpt{WithConnectionHook(func(ctx context.Context) {
			var r ended
			peer, err := PeerClient(ctx)
			if err == nil {
				err = peer.Call(ctx, "test", "Echo", wrapperspb.String("x"), new(wrapperspb.StringValue))
			}
			r.call = err
			<-ctx.Done()
			r.err, r.cause = ctx.Err(), context.Cause(ctx)
			if _, ok := PeerFromContext(ctx); !ok {
				t.Error("B50: the hook's context has no peer")
			}
			results <- r
		})})
		time.Sleep(time.Hour)
		select {
		case r := <-results:
			t.Fatalf("B50: the hook's context has ended: %v", r)
		default:
		}
		p.client.Close()
		if r := <-results; r.call != nil || r.err != context.Canceled || r.cause != io.EOF {
			t.Errorf("B50: the call %v, the context %v, its cause %v", r.call, r.err, r.cause)
		}
	})
}

// TestHandlersCapInParts holds that the cap on handlers counts requests of which parts have
// come.
func TestHandlersCapInParts(t *testing.T) {
	onExtendedServer(t, peerHello(), func(t *testing.T, ts *testServer, p *rawPeer) {
		request := echoRequest(t)
		p.request(3, 0, "Wait", nil)
		<-ts.contexts
		p.send(5, messageTypePart, 0, request[:5])
		p.send(7, messageTypePart, 0, request[:5])
		p.wantStatus("B49: over the cap, at the first part", 7, codes.ResourceExhausted, "ttrpc: more than 2 concurrent calls on the connection")
		p.send(7, messageTypeRequest, 0, request[5:])
		p.wantNothing("B49: one answer")
		p.request(9, 0, "Echo", nil)
		p.next("a whole one")
		p.send(5, messageTypeRequest, 0, request[5:])
		p.wantResult("B49", 5, wrapperspb.String("alive"))
		ts.answers <- nil
		p.wantResult("B49", 3, wrapperspb.String("waited"))
		p.wantEcho("B49", 11)
	}, WithServerLimits(Limits{Handlers: 2}))
}
