// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package duplex makes a net.Conn of what can only be read and written: the two bodies of
// an HTTP request, or the messages of a websocket. Neither can be left when a deadline passes
// without breaking. So goroutines of the transport, the pumps, move the bytes between it and
// the conn, which has a small buffer for either direction.
package duplex

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/containerd/ttrpc/transport"
)

// ErrEnded is what Write returns when the other end has ended the connection in order.
var ErrEnded = errors.New("the other end has closed the connection")

// An End is what is known of a conn's two ends.
type End struct {
	Network       string // the name of the transport, in errors
	Local, Remote net.Addr
	AuthInfo      *transport.AuthInfo
}

// A Conn is a transport.Conn, whose methods may be used concurrently. Those of its other side,
// Feed, Drain, Outgoing, Fail and Finish, are for the transport.
type Conn struct {
	in, out *pipe

	mu sync.Mutex

	// Guarded by mu.
	end      End
	closed   bool
	finished bool
	onClose  func()
}

// New returns a conn. The first Close calls onClose, unless Finish was called before.
func New(end End, onClose func()) *Conn {
	return &Conn{end: end, in: newPipe(), out: newPipe(), onClose: onClose}
}

// Describe replaces what is known of the ends.
func (c *Conn) Describe(end End) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = end
}

func (c *Conn) described() End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// failure is an error as those of package net are.
func (c *Conn) failure(op string, why error) error {
	end := c.described()
	return &net.OpError{Op: op, Net: end.Network, Source: end.Local, Addr: end.Remote, Err: why}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write implements net.Conn. It returns when the conn's buffer has all of b.
func (c *Conn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close implements net.Conn. What was written before is still sent.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.out.end(io.EOF)
	c.in.refuse(net.ErrClosed)
	if !c.finished {
		c.onClose()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.described().Local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.described().Remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reads, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writes, t)
	return nil
}

// IsByteStream implements ttrpc.ByteStreamConn.
func (c *Conn) IsByteStream() bool { return true }

// AuthInfo implements transport.Conn.
func (c *Conn) AuthInfo() *transport.AuthInfo { return c.described().AuthInfo }

// A HalfCloser is a Conn whose transport can end one direction alone.
type HalfCloser struct{ *Conn }

// CloseWrite ends what this end sends. The other end reads io.EOF after what was written
// before, and may go on sending.
func (c HalfCloser) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

const (
	// Buffers of Feed grow from the smallest to the largest while reads fill them.
	smallestRead = 2 << 10
	largestRead  = 32 << 10

	// unwanted is how much Feed throws away after Close. It may have been under way.
	unwanted = 1 << 20
)

// Feed moves what comes from r to the conn's Read until r ends, and returns its error. One
// other than io.EOF is the end of both directions. After the conn's Close it throws away what
// comes; when that is no more what was under way, it returns net.ErrClosed.
func (c *Conn) Feed(r io.Reader) error {
	buf := make([]byte, smallestRead)
	dropped := 0
	for {
		n, err := r.Read(buf)
		taken, _ := c.in.write(buf[:n]) // all, but after Close
		dropped += n - taken
		switch {
		case err == io.EOF:
			c.in.end(err)
			return err
		case err != nil:
			c.Fail(err)
			return err
		case dropped > unwanted:
			return net.ErrClosed
		case n == len(buf) && n < largestRead:
			buf = make([]byte, 2*n)
		}
	}
}

// Drain moves what is written to the conn to w until Close, when it returns io.EOF, or until w
// fails, which is the end of both directions.
func (c *Conn) Drain(w func([]byte) error) error {
	for {
		chunk, err := c.out.take()
		if err != nil {
			return err
		}
		err = w(chunk.data[chunk.start:chunk.end])
		c.out.recycle(chunk)
		if err != nil {
			c.Fail(err)
			return err
		}
	}
}

// Outgoing returns what is written to the conn as something to read. To close it has Write
// fail with ErrEnded.
func (c *Conn) Outgoing() io.ReadCloser { return outgoing{c} }

type outgoing struct{ *Conn }

func (o outgoing) Read(b []byte) (int, error) { return o.out.read(b) }

func (o outgoing) Close() error {
	o.out.refuse(o.failure("write", ErrEnded))
	return nil
}

// Fail ends both directions, Read after what has arrived. After Close it does nothing: what
// was written before may still leave.
func (c *Conn) Fail(why error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.out.refuse(c.failure("write", why)) // first: who has learnt it from Read may write
		c.in.end(c.failure("read", why))
	}
}

// Finish says that the transport has gone, after which Close asks it for nothing.
func (c *Conn) Finish() {
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
	c.out.refuse(c.failure("write", ErrEnded))
}

// OneLine returns a text that a peer sent as one that can stand in an error.
func OneLine(text []byte) string {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(text))
	return strings.Join(strings.Fields(printable), " ")
}
