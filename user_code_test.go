// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A nosy is all the code of a user's that the library calls, and which asks the client and
// the server something wherever it is called: that needs their locks.
type nosy struct {
	t      *testing.T
	client atomic.Pointer[Client]
	server atomic.Pointer[Server]

	mu   sync.Mutex
	been map[string]bool // where it was called
}

// newNosy returns a nosy whose test must have been at all the places that are named.
func newNosy(t *testing.T, places string) *nosy {
	n := &nosy{t: t, been: map[string]bool{}}
	t.Cleanup(func() { // a logger may be called after the end was told
		for _, place := range strings.Split(places, ", ") {
			await(t, "a call of the user's "+place, func() bool { return n.has(place) })
		}
	})
	return n
}

// has tells whether it was called at the place.
func (n *nosy) has(place string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.been[place]
}

// look asks, and waits for the answer. Only what hangs is found by the time it takes.
func (n *nosy) look(place string) {
	n.mu.Lock()
	n.been[place] = true
	n.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c := n.client.Load(); c != nil {
			c.Cause()
			c.Snapshot()
			c.Draining()
		}
		if s := n.server.Load(); s != nil {
			s.Snapshot()
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		n.t.Errorf("B62: %s is called under a lock\n%s", place, testkit.Stacks())
	}
}

// A nosyConn is a conn of a user's.
type nosyConn struct {
	*memconn.Conn
	n *nosy
}

func (c nosyConn) Read(b []byte) (int, error) {
	c.n.look("Read")
	n, err := c.Conn.Read(b)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		if _, ok := err.(net.Error); !ok {
			err = &nosyError{error: err, n: c.n}
		}
	}
	return n, err
}

func (c nosyConn) Write(b []byte) (int, error) { c.n.look("Write"); return c.Conn.Write(b) }
func (c nosyConn) Close() error                { c.n.look("Close"); return c.Conn.Close() }
func (c nosyConn) LocalAddr() net.Addr         { c.n.look("LocalAddr"); return c.Conn.LocalAddr() }
func (c nosyConn) RemoteAddr() net.Addr        { c.n.look("RemoteAddr"); return c.Conn.RemoteAddr() }
func (c nosyConn) IsByteStream() bool          { c.n.look("IsByteStream"); return true }

func (c nosyConn) SetReadDeadline(t time.Time) error {
	c.n.look("SetReadDeadline")
	return c.Conn.SetReadDeadline(t)
}

// A nosyError is an error of a user's conn.
type nosyError struct {
	error
	n    *nosy
	once atomic.Bool // to ask for a snapshot asks for the text
}

func (e *nosyError) Error() string {
	if !e.once.Swap(true) {
		e.n.look("Error")
		e.once.Store(false)
	}
	return e.error.Error()
}

func (e *nosyError) Unwrap() error { return e.error }

// A nosyContext is a context of a user's.
type nosyContext struct {
	context.Context
	n *nosy
}

func (c nosyContext) Value(key any) any     { c.n.look("Value"); return c.Context.Value(key) }
func (c nosyContext) Done() <-chan struct{} { c.n.look("Done"); return c.Context.Done() }

// These are a Logger and a Handshaker.

func (n *nosy) Debug(string, ...any) { n.look("Debug") }
func (n *nosy) Info(string, ...any)  { n.look("Info") }
func (n *nosy) Warn(string, ...any)  { n.look("Warn") }
func (n *nosy) Error(string, ...any) { n.look("Error of the logger") }

func (n *nosy) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	n.look("Handshake")
	return conn, nil, nil
}

func (n *nosy) trace() *Trace {
	return &Trace{
		Conn: func(ConnInfo) func(error) {
			n.look("Trace.Conn")
			return func(error) { n.look("the end of Trace.Conn") }
		},
		Call: func(CallInfo) func(error) {
			n.look("Trace.Call")
			return func(error) { n.look("the end of Trace.Call") }
		},
		Frame: func(FrameInfo) { n.look("Trace.Frame") },
	}
}

func (n *nosy) clientOpts(more ...ClientOpts) []ClientOpts {
	return append([]ClientOpts{
		WithClientLogger(n), WithClientTrace(n.trace()), WithClientHandshaker(n),
		WithOnClose(func() { n.look("OnClose") }),
		WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
			n.look("a client's interceptor")
			return invoke(ctx, req, resp)
		}),
		WithChainStreamClientInterceptor(func(ctx context.Context, desc *StreamDesc, method string, open Streamer) (ClientStream, error) {
			n.look("a client's interceptor of streams")
			return open(ctx, desc, method)
		}),
	}, more...)
}

func (n *nosy) serve(opts ...ServerOpt) *Server {
	s, err := NewServer(append([]ServerOpt{
		WithServerLogger(n), WithServerTrace(n.trace()), WithServerHandshaker(n), WithRecoverPanics(),
		WithUnaryServerInterceptor(func(ctx context.Context, u Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
			n.look("a server's interceptor")
			return m(ctx, u)
		}),
		WithChainStreamServerInterceptor(func(ctx context.Context, s StreamServer, _ *StreamServerInfo, h StreamHandler) (any, error) {
			n.look("a server's interceptor of streams")
			return h(ctx, s)
		}),
	}, opts...)...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.server.Store(s)
	n.t.Cleanup(func() { s.Close() })
	s.RegisterService("test", extendedService())
	s.Register("panics", map[string]Method{"Method": func(context.Context, func(any) error) (any, error) { panic("asked to") }})
	return s
}

// pipe connects a client, which it makes if it has options, and a server, if there is one.
// It returns the ends.
func (n *nosy) pipe(s *Server, opts []ClientOpts) (client, server nosyConn) {
	a, b := memconn.StreamPipe(0)
	client, server = nosyConn{a, n}, nosyConn{b, n}
	if s != nil {
		s.accept(nosyContext{context.Background(), n}, server)
	}
	if opts != nil {
		c := NewClient(client, opts...)
		n.client.Store(c)
		n.t.Cleanup(func() { c.Close(); <-c.Done() })
	}
	return client, server
}

const nosyPlaces = "Read, Write, LocalAddr, RemoteAddr, IsByteStream, Handshake, " +
	"Trace.Conn, the end of Trace.Conn, Trace.Call, the end of Trace.Call, Trace.Frame, OnClose, " +
	"a client's interceptor, a client's interceptor of streams, a server's interceptor, a server's interceptor of streams"

// TestUserCode holds that what is a user's is called without locks, wherever it is called.
func TestUserCode(t *testing.T) {
	hooked := func(n *nosy) ServerOpt {
		return WithConnectionHook(func(context.Context) { n.look("the hook of connections") })
	}
	for name, test := range map[string]struct {
		places     string
		serverOpts func(*nosy) []ServerOpt
		opts       []ClientOpts
	}{
		"classic":  {nosyPlaces + ", SetReadDeadline, Value, Done, Error, Error of the logger", func(*nosy) []ServerOpt { return nil }, nil},
		"extended": {nosyPlaces + ", SetReadDeadline, Value, Done, Error, Error of the logger, the hook of connections", func(n *nosy) []ServerOpt { return []ServerOpt{hooked(n)} }, []ClientOpts{WithExtensions()}},
		"classic servers of clients that want more": {"Warn, RemoteAddr", func(*nosy) []ServerOpt { return nil },
			[]ClientOpts{WithKeepalive(Keepalive{Interval: time.Hour})}},
		"classic clients of servers that want more": {"Warn, RemoteAddr", func(*nosy) []ServerOpt {
			return []ServerOpt{WithServerKeepalive(Keepalive{Interval: time.Hour})}
		}, nil},
		"classic clients of servers that require more": {"Warn, RemoteAddr", func(*nosy) []ServerOpt {
			return []ServerOpt{WithExtensionsRequired()}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNosy(t, test.places)
			s := n.serve(test.serverOpts(n)...)
			n.pipe(s, n.clientOpts(test.opts...))
			c := n.client.Load()
			n.talk(t, c)
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			<-c.Done()
			c.Snapshot()
		})
	}
}

// talk makes all kinds of calls, and ends them in all ways.
func (n *nosy) talk(t *testing.T, c *Client) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	one := nosyContext{ctx, n}
	c.Call(one, "test", "Echo", wrapperspb.String("x"), new(wrapperspb.StringValue))
	c.Call(one, "panics", "Method", wrapperspb.String("x"), new(wrapperspb.StringValue))
	var streams []ClientStream
	for range 2 {
		s, err := c.NewStream(one, bidi, "test", "Echoes", nil)
		if err != nil { // the server may have parted
			return
		}
		s.SendMsg(wrapperspb.Bytes(nil))
		s.RecvMsg(new(wrapperspb.BytesValue))
		streams = append(streams, s)
	}
	if extended, _ := c.Extended(context.Background()); !extended {
		streams[1].CloseSend() // or the handler would wait for ever
	}
	streams[0].CloseSend()
	streams[0].RecvMsg(new(wrapperspb.BytesValue))
	cancel()
	streams[1].RecvMsg(new(wrapperspb.BytesValue))
}

// TestUserCodeAtTheEnd is TestUserCode for connections that end because of what the peer
// does, or does not do.
func TestUserCodeAtTheEnd(t *testing.T) {
	agree := func(p *rawPeer) {
		if _, _, err := newChannel(p.conn).recv(); err != nil {
			p.t.Fatal(err)
		}
		p.send(1, messageTypeResponse, 0, encode(p.t, &Response{Payload: peerHello().Append(nil)}))
	}
	for name, test := range map[string]struct {
		opts []ClientOpts
		peer func(p *rawPeer)
	}{
		"a broken frame": {nil, func(p *rawPeer) { p.write([]byte{255, 255, 255, 255, 0, 0, 0, 1, 2, 0}) }},
		"two clients":    {nil, func(p *rawPeer) { p.request(1, 0, "Echo", nil) }},
		"a credit of 0": {[]ClientOpts{WithExtensions()}, func(p *rawPeer) {
			agree(p)
			p.send(0, messageTypeCredit, 0, number(0))
		}},
		"a goodbye that raises the last id": {[]ClientOpts{WithExtensions()}, func(p *rawPeer) {
			agree(p)
			p.send(0, messageTypeGoodbye, 0, number(0))
			p.send(0, messageTypeGoodbye, 0, number(3))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNosy(t, "Warn, RemoteAddr, OnClose, the end of Trace.Conn")
			_, far := n.pipe(nil, n.clientOpts(test.opts...))
			test.peer(&rawPeer{t: t, conn: far.Conn})
			<-n.client.Load().Done()
			far.Conn.Close()
		})
	}
	t.Run("no Hello", func(t *testing.T) {
		n := newNosy(t, "Warn, RemoteAddr")
		s, err := NewServer(WithServerLogger(n), WithExtensionsRequired(), WithServerTimeouts(Timeouts{Handshake: time.Millisecond}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n.server.Store(s)
		near, _ := n.pipe(s, nil)
		if _, err := near.Conn.Read(make([]byte, 1)); err == nil {
			t.Error("B73: a server that requires the mode does not end the connection")
		}
	})
	t.Run("no answer to Hello", func(t *testing.T) {
		n := newNosy(t, "Error of the logger, RemoteAddr")
		_, far := n.pipe(nil, []ClientOpts{WithClientLogger(n), WithExtensions(), WithClientTimeouts(Timeouts{Handshake: time.Millisecond})})
		<-n.client.Load().Done()
		far.Conn.Close()
	})
}
