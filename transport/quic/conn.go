// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/containerd/ttrpc/transport"
)

// A Conn is a connection: a [transport.Conn] with a QUIC connection to itself. Its methods may
// be used concurrently.
type Conn struct {
	quic   *quicgo.Conn
	local  net.Addr
	server net.Addr // at the client
	auth   transport.AuthInfo
	out    *quicgo.SendStream

	in       atomic.Pointer[quicgo.ReceiveStream] // nil until the other end has opened it
	entering sync.Mutex                           // held by who waits for that
	writing  sync.Mutex                           // held by Write

	mu sync.Mutex

	// Guarded by mu.
	reads  time.Time          // the deadline
	wake   context.CancelFunc // ends a wait for in, to see what has changed
	ended  bool               // nothing more can be written
	closed bool
}

// NewConn returns a conn on a QUIC connection whose handshake is over, for which it then
// answers alone. Both ends must do so. It does not ask for a protocol of ALPN. It fails if
// the other end's configuration lets this one open no unidirectional stream.
func NewConn(connection *quicgo.Conn) (*Conn, error) {
	return newConn(connection, connection.LocalAddr())
}

func newConn(connection *quicgo.Conn, local net.Addr) (*Conn, error) {
	out, err := connection.OpenUniStream()
	if err != nil {
		err = explain(err)
		_ = connection.CloseWithError(codeNoStreams, err.Error())
		return nil, err
	}
	state := connection.ConnectionState().TLS
	c := &Conn{
		quic: connection, local: local, out: out,
		auth: transport.AuthInfo{TLS: &state, Context: connection.Context()},
	}
	if out.StreamID()%2 == 0 { // a client's
		c.server = connection.RemoteAddr()
	}
	return c, nil
}

// QUIC returns the QUIC connection, for its AddPath and ConnectionStats. The streams are the
// Conn's.
func (c *Conn) QUIC() *quicgo.Conn { return c.quic }

// AuthInfo implements [transport.Conn]. It has the certificates, no header, and a context that
// ends with the QUIC connection, some time after Close. At the client it has the values of that
// of Dial.
func (c *Conn) AuthInfo() *transport.AuthInfo { return &c.auth }

// IsByteStream implements ttrpc.ByteStreamConn.
func (c *Conn) IsByteStream() bool { return true }

// LocalAddr implements net.Conn. At the client it is the address at which it began.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn. At the server it changes when the client gets another
// address.
func (c *Conn) RemoteAddr() net.Addr {
	if c.server != nil {
		return c.server // quic-go's own must not be called while the client changes the path
	}
	return c.quic.RemoteAddr()
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	in := c.in.Load()
	if in == nil {
		var err error
		if in, err = c.incoming(); err != nil {
			return 0, c.failure("read", err)
		}
	}
	n, err := in.Read(b)
	if n > 0 || err == nil {
		return n, nil // the error comes again
	}
	return 0, c.failure("read", err)
}

// incoming waits until the other end has opened its stream.
func (c *Conn) incoming() (*quicgo.ReceiveStream, error) {
	c.entering.Lock()
	defer c.entering.Unlock()
	for {
		if in := c.in.Load(); in != nil {
			return in, nil
		}
		ctx, cancel, err := c.untilChange()
		if err != nil {
			return nil, err
		}
		in, err := c.quic.AcceptUniStream(ctx)
		changed := ctx.Err() != nil
		cancel()
		if err == nil {
			c.enter(in)
		} else if !changed {
			return nil, err
		}
	}
}

// untilChange returns a context that ends when a Read that waits for in is to look again.
func (c *Conn) untilChange() (context.Context, context.CancelFunc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ctx context.Context
	switch {
	case c.closed:
		return nil, nil, net.ErrClosed
	case c.reads.IsZero():
		ctx, c.wake = context.WithCancel(context.Background())
	case !c.reads.After(time.Now()):
		return nil, nil, os.ErrDeadlineExceeded
	default:
		ctx, c.wake = context.WithDeadline(context.Background(), c.reads)
	}
	return ctx, c.wake, nil
}

func (c *Conn) enter(in *quicgo.ReceiveStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = in.SetReadDeadline(c.reads)
	c.in.Store(in)
}

// Write implements net.Conn. It returns when less than a packet of b is left to be sent.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.out.Write(b)
	if err != nil {
		err = c.failure("write", err)
	}
	return n, err
}

// failure returns an error as those of package net are.
func (c *Conn) failure(op string, err error) error {
	c.mu.Lock()
	own := c.closed || c.ended && op == "write"
	c.mu.Unlock()
	switch {
	case own:
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case err == io.EOF:
		return err
	}
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: c.RemoteAddr(), Err: explain(err)}
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.reads = t
	if in := c.in.Load(); in != nil {
		return in.SetReadDeadline(t)
	}
	if c.wake != nil {
		c.wake()
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return net.ErrClosed
	}
	return c.out.SetWriteDeadline(t)
}
