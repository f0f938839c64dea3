// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// onAskingClient runs f with a client that has asked, and its server, a raw peer.
func onAskingClient(t *testing.T, f func(t *testing.T, c *Client, p *rawPeer), opts ...ClientOpts) {
	t.Helper()
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		h := hello{Version: 1, Metadata: true, MaxMessage: messageLengthMax, Window: 6 << 10, ConnectionWindow: 8 << 20}
		p.want("B46: the first frame", 1, messageTypeRequest, 0, helloRequest(t, h.Append(nil)))
		f(t, c, p)
	}, append([]ClientOpts{WithExtensions()}, opts...)...)
}

// TestHelloOldServers holds that whatever status an old server answers, and however, the
// connection is a classic one, whose calls go on where they would have begun.
func TestHelloOldServers(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable { // TestHelloWhileDraining
			continue
		}
		t.Run(code.String(), func(t *testing.T) {
			onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				done := goCall(t.Context(), c, new(wrapperspb.StringValue))
				p.wantNothing("B46: calls wait")
				p.respond(1, status.New(code, "/ttrpc.extensions.v1.Connection/Hello does not exist"), nil)
				p.want("B46: classic, byte for byte", 3, messageTypeRequest, 0,
					encode(t, &Request{Service: "test", Method: "Method", Payload: encode(t, wrapperspb.String("req"))}))
				p.respond(3, nil, nil)
				if err := <-done; err != nil {
					t.Errorf("B46: %v", err)
				}
				if ok, err := c.Extended(t.Context()); ok || err != nil {
					t.Errorf("B46: extended %v, %v", ok, err)
				}
				wantClassicClient(t, c, p)
			})
		})
	}
}

// wantClassicClient requires that a client neither sends nor understands what the extended
// mode has. Its next id is 5.
func wantClassicClient(t *testing.T, c *Client, p *rawPeer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t, ctx, c, bidi, nil)
	p.wantRequest("B46", 5, flagRemoteOpen|flagNoData)
	big := bytesOfLength(t, 3*partSize)
	if err := s.SendMsg(big); err != nil {
		t.Error(err)
	}
	p.want("B46: classic does not cut", 5, messageTypeData, 0, encode(t, big))
	for typ := messageTypePart; typ <= messageTypeGoodbye; typ++ {
		p.send(0, typ, 0, nil)
		p.send(7, typ, 0, nil)
		p.send(2, typ, 0, nil)
	}
	p.request(2, 0, "Echo", nil)
	cancel()
	p.wantNothing("B46: classic has no cancel, no pong, and answers no calls")
	p.wantAlive("B46")
	if err := s.SendMsg(&FileMessage{Message: big}); !errors.Is(err, context.Canceled) {
		t.Errorf("B46: %v", err)
	}
}

// TestHelloGarbage holds that a server which agrees in words that do not parse is none to
// talk to.
func TestHelloGarbage(t *testing.T) {
	good := peerHello()
	says := func(h hello) []byte { return wire.Response{Payload: h.Append(nil)}.Append(nil) }
	for name, answer := range map[string]rawFrame{
		"nothing":          raw(1, messageTypeResponse, 0, nil),
		"an empty payload": raw(1, messageTypeResponse, 0, []byte("\x12\x00")), // we would leave it out
		"noise":            raw(1, messageTypeResponse, 0, wire.Response{Payload: []byte{0xff, 0xff}}.Append(nil)),
		"version 0":        raw(1, messageTypeResponse, 0, says(hello{MaxMessage: 1, Window: 1, ConnectionWindow: 1})),
		"no limit":         raw(1, messageTypeResponse, 0, says(hello{Version: 1, Window: 1, ConnectionWindow: 1})),
		"data":             raw(1, messageTypeData, 0, good.Append(nil)),
		"a request":        raw(1, messageTypeRequest, 0, nil),
		"an unknown type":  raw(1, messageTypeCancel, 0, nil),
		"over the limit":   raw(1, messageTypeResponse, 0, make([]byte, messageLengthMax+1)),
	} {
		t.Run(name, func(t *testing.T) {
			onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				done := goCall(t.Context(), c, new(wrapperspb.StringValue))
				p.send(1, answer.Type, answer.Flags, answer.data)
				p.wantEnd("B46: " + name)
				if err := <-done; !errors.Is(err, ErrClosed) {
					t.Errorf("B46: a call that waited: %v", err)
				}
				if ok, err := c.Extended(t.Context()); ok || !errors.Is(err, ErrClosed) {
					t.Errorf("B46: extended %v, %v", ok, err)
				}
				if c.Cause() == nil || c.Cause() == ErrClosed {
					t.Errorf("B46: the cause is %v", c.Cause())
				}
				p.wantNothing("B46")
			})
		})
	}
}

// TestHelloUnanswered holds how long a client waits.
func TestHelloUnanswered(t *testing.T) {
	for timeout, opts := range map[time.Duration][]ClientOpts{
		defaultHandshakeTimeout: nil,
		time.Hour:               {WithClientTimeouts(Timeouts{Handshake: time.Hour})},
	} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				start := time.Now()
				done := goCall(t.Context(), c, new(wrapperspb.StringValue))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if ok, err := c.Extended(ctx); ok || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("B46: extended %v, %v", ok, err)
				}
				if err := <-goCall(ctx, c, new(wrapperspb.StringValue)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("B46: a call whose context ends before the agreement: %v", err)
				}
				if _, err := c.NewStream(ctx, bidi, "test", "Stream", nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("B46: a stream: %v", err)
				}
				p.wantNothing("B46: calls wait")
				if err := <-done; !errors.Is(err, ErrClosed) || time.Since(start) != timeout {
					t.Errorf("B46: the call ended after %v with %v", time.Since(start), err)
				}
				p.wantEnd("B46")
				p.wantNothing("B46: no call and no goodbye is sent")
			}, opts...)
		})
	}
}

// TestHelloAndTheEnd holds what becomes of who waits when the connection ends.
func TestHelloAndTheEnd(t *testing.T) {
	for name, end := range map[string]func(c *Client, p *rawPeer){
		"the peer's": func(_ *Client, p *rawPeer) { p.conn.Close() },
		"ours":       func(c *Client, _ *rawPeer) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			onAskingClient(t, func(t *testing.T, c *Client, p *rawPeer) {
				done := goCall(t.Context(), c, new(wrapperspb.StringValue))
				synctest.Wait()
				start := time.Now()
				end(c, p)
				if err := <-done; !errors.Is(err, ErrClosed) {
					t.Errorf("B46: %v", err)
				}
				if ok, err := c.Extended(t.Context()); ok || !errors.Is(err, ErrClosed) || time.Since(start) != 0 {
					t.Errorf("B46: extended %v, %v after %v", ok, err, time.Since(start))
				}
				<-c.Done()
			})
		})
	}
	if ok, err := new(Client).Extended(context.Background()); ok || !errors.Is(err, ErrClosed) {
		t.Errorf("the zero Client: %v, %v", ok, err)
	}
	<-new(Client).Done()
	if err := new(Client).Shutdown(context.Background()); err != nil {
		t.Errorf("the zero Client: %v", err)
	}
}

type failingHandshaker struct{}

func (failingHandshaker) Handshake(context.Context, net.Conn) (net.Conn, any, error) {
	return nil, nil, errors.New("no")
}

// TestHelloAfterHandshake holds that a handshake comes first, and that a failed one leaves
// nobody waiting.
func TestHelloAfterHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		c := NewClient(a, WithExtensions(), WithClientLogger(new(countingLogger)), WithClientHandshaker(failingHandshaker{}))
		if ok, err := c.Extended(t.Context()); ok || !errors.Is(err, ErrClosed) {
			t.Errorf("B46: extended %v, %v", ok, err)
		}
		b.Close()
		<-c.Done()
	})
}

// TestHelloNotAsked holds that without the option nothing of the mode is on the wire, at
// a client; and that servers do not begin, whatever they were told to do once it is agreed.
func TestHelloNotAsked(t *testing.T) {
	onClient(t, func(t *testing.T, c *Client, p *rawPeer) {
		if ok, err := c.Extended(t.Context()); ok || err != nil {
			t.Errorf("B46: extended %v, %v", ok, err)
		}
		time.Sleep(time.Hour)
		p.wantNothing("B46: a client that was not told to asks for nothing")
		done := goCall(t.Context(), c, new(wrapperspb.StringValue))
		p.wantRequest("B46", 1, 0)
		p.respond(1, nil, nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	hooked := false
	onServer(t, func(t *testing.T, ts *testServer) {
		ts.peer.wantEcho("B46", 1)
		time.Sleep(time.Hour)
		ts.peer.wantNothing("B46: a server that was not asked sends nothing")
		wantClassicServer(ts)
		if hooked {
			t.Error("B50: the hook was called for a classic connection")
		}
	}, WithServerKeepalive(Keepalive{Interval: time.Second, Timeout: time.Second}), WithConnectionHook(func(context.Context) { hooked = true }))
}
