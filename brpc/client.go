// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/containerd/ttrpc"
)

// A ClientConn makes gRPC calls to a server, and answers those that the server makes, if it
// serves: see ServeClientService. It has one connection at a time, and makes the next when
// that is lost, if it was made by a function that dials. Its methods may be used concurrently.
type ClientConn struct {
	*grpc.ClientConn

	// Dialer makes the connections of a ClientConn that Dial or DialContext has made. It may
	// be replaced for those that follow the first, while there is no need to make one. Other
	// ClientConns do not use it.
	Dialer func(ctx context.Context, target string) (*quic.Conn, error)

	ttrpc         *ttrpc.Client
	reverse       *reverse
	meeting       *meeting
	serveMetadata metadata.MD
	serving       context.Context    // while this end may announce that it serves
	leave         context.CancelFunc // ends serving
	closing       sync.Once
	closed        error
}

// NewClientConn returns a ClientConn on one connection, which it owns from then on. It is
// of no more use when that has ended. It does not matter which end has dialled.
func NewClientConn(conn net.Conn, opts ...grpc.DialOption) (*ClientConn, error) {
	return newClientConn(nameOf(conn.RemoteAddr()), opts, func(o *options, base []ttrpc.ClientOpts) (*ttrpc.Client, error) {
		return ttrpc.NewClient(conn, base...), nil
	})
}

func nameOf(a net.Addr) string {
	if a == nil || a.String() == "" {
		return "brpc"
	}
	return a.String()
}

// DialNet returns a ClientConn that makes its connections by dial, one at a time, in the
// background, and again whenever one is lost. It waits for none. Calls fail as those of gRPC
// do while there is none. Dial's context ends with the ClientConn, and after some time.
func DialNet(target string, dial func(context.Context) (net.Conn, error), opts ...grpc.DialOption) (*ClientConn, error) {
	return newClientConn(target, opts, func(o *options, base []ttrpc.ClientOpts) (*ttrpc.Client, error) {
		return ttrpc.Dial(target, append(base, ttrpc.WithDialer(ttrpc.Dialer{
			Dial:     func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) },
			Backoff:  o.backoff,
			FailFast: true,
			Events:   o.told,
		}))...)
	})
}

// newClientConn returns a ClientConn over the client that connect makes.
func newClientConn(target string, opts []grpc.DialOption, connect func(*options, []ttrpc.ClientOpts) (*ttrpc.Client, error)) (*ClientConn, error) {
	o := optionsOf(opts)
	c := &ClientConn{reverse: newReverse(o), serveMetadata: o.metadata}
	c.meeting = &meeting{user: o.handshaker, back: c}
	server, err := c.reverse.newServer()
	if err != nil {
		return nil, err
	}
	c.serving, c.leave = context.WithCancel(context.Background())
	base := append([]ttrpc.ClientOpts{
		ttrpc.WithClientLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Window: window}}),
	}, o.ttrpc...)
	if c.ttrpc, err = connect(o, append(base,
		ttrpc.WithClientServices(server),
		ttrpc.WithClientHandshaker(c.meeting),
	)); err != nil {
		c.leave()
		return nil, err
	}
	if c.ClientConn, err = newConn(target, c.dial, opts); err != nil {
		c.leave()
		c.ttrpc.Close()
		return nil, err
	}
	return c, nil
}

// A meeting is the handshaker of the connections of a client: it knows the latest.
type meeting struct {
	user ttrpc.Handshaker
	back backer

	mu     sync.Mutex
	count  int   // guarded by mu: of connections so far
	latest *addr // guarded by mu: of the server, on the last of them
}

// Handshake implements ttrpc.Handshaker. Handlers find the *addr as the AuthInfo.
func (m *meeting) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	conn, info, err := shake(ctx, conn, m.user)
	if err != nil {
		return nil, nil, err
	}
	remote := &addr{peer: newPeer(&ttrpc.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: info}), back: m.back}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	m.latest = remote
	return conn, remote, nil
}

func (m *meeting) last() (int, *addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count, m.latest
}

var errMoved = errors.New("brpc: the connection was lost again and again while a tunnel was opened")

// dial opens a tunnel to the server. A stream does not tell which connection it is of: that is
// the latest one, if none has come meanwhile, or this is the first.
func (c *ClientConn) dial(ctx context.Context, _ string) (net.Conn, error) {
	for range 3 {
		before, _ := c.meeting.last()
		s, cancel, err := openStream(ctx, c.ttrpc)
		if err != nil {
			return nil, err
		}
		if after, remote := c.meeting.last(); after == max(before, 1) {
			return dialed(s, cancel, remote), nil
		}
		cancel()
	}
	return nil, errMoved
}

// backConn implements [backer]: handlers of a client call its server.
func (c *ClientConn) backConn() (grpc.ClientConnInterface, error) {
	return c.ClientConn, nil
}

// Snapshot tells what the current connection looks like, with its tunnels, for a debug page.
func (c *ClientConn) Snapshot() ttrpc.ConnSnapshot { return c.ttrpc.Snapshot() }

// Close ends the connection, and all calls in either direction, at once.
func (c *ClientConn) Close() error { return c.end(func() {}) }

// end closes all but what parts from the server, and that when part has returned.
func (c *ClientConn) end(part func()) error {
	c.leave()
	c.closing.Do(func() {
		c.closed = c.ClientConn.Close()
		c.reverse.stop()
	})
	part()
	c.ttrpc.Close()
	return c.closed
}

// Shutdown ends the connection in order: it lets the server's calls finish, and what its own
// handlers call meanwhile, and says goodbye. Calls that this end has made and that run are
// ended by it, as by that of any grpc.ClientConn. If ctx ends first it is Close, and returns
// ctx.Err().
func (c *ClientConn) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	c.leave() // all pools
	c.reverse.drain()
	err := c.end(func() { _ = c.ttrpc.Shutdown(ctx) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// WithUnaryConnectionIdentifier does nothing. A server knows its clients by the connections
// that their calls come on.
func (c *ClientConn) WithUnaryConnectionIdentifier() grpc.DialOption { return grpc.EmptyDialOption{} }

// WithStreamConnectionIdentifier does nothing, as WithUnaryConnectionIdentifier.
func (c *ClientConn) WithStreamConnectionIdentifier() grpc.DialOption { return grpc.EmptyDialOption{} }
