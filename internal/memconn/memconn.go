// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package memconn is an in-memory net.Conn for tests. Unlike net.Pipe it has a
// buffer, as sockets do, and it is made of what testing/synctest knows to
// block, so that tests on it need no sleep.
package memconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// ErrPacketTooLong is what Read of a packet conn returns if the packet does
// not fit the caller's memory.
var ErrPacketTooLong = errors.New("memconn: the packet is longer than the memory given to Read")

// A Conn is one end of a connection. All its methods may be used concurrently.
// Addresses are nil.
type Conn struct {
	in, out *half
}

// A half is one direction.
type half struct {
	mu      sync.Mutex
	changed sync.Cond
	packets [][]byte
	bytes   int
	limit   int // how many bytes fit; 0 means any number
	whole   bool
	stream  bool
	writes  []int // the length of every Write
	eof     error // what Read returns once packets is empty
	broken  error // what Write returns

	reads, writing deadline
}

// A deadline is that of one side of a half, whose lock guards it.
type deadline struct {
	at     time.Time
	passed bool
}

func newHalf(limit int, whole, stream bool) *half {
	h := &half{limit: limit, whole: whole, stream: stream}
	h.changed.L = &h.mu
	return h
}

// Pipe returns the two ends of a stream whose directions hold limit bytes
// each; 0 means any number.
func Pipe(limit int) (*Conn, *Conn) { return pair(limit, false, false) }

// StreamPipe is Pipe with ends that say that they are byte streams.
func StreamPipe(limit int) (*Conn, *Conn) { return pair(limit, false, true) }

// PacketPipe returns the two ends of a connection that, as some multiplexers
// do, hands every Write to one Read, and fails a Read with too little memory.
func PacketPipe() (*Conn, *Conn) { return pair(0, true, false) }

func pair(limit int, whole, stream bool) (*Conn, *Conn) {
	a, b := newHalf(limit, whole, stream), newHalf(limit, whole, stream)
	return &Conn{a, b}, &Conn{b, a}
}

// IsByteStream tells what the conn says of itself.
func (c *Conn) IsByteStream() bool { return c.in.stream }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reads.passed && h.eof != net.ErrClosed:
			return 0, os.ErrDeadlineExceeded
		case len(h.packets) == 0 && h.eof != nil:
			return 0, h.eof
		case len(h.packets) == 0:
			h.changed.Wait()
			continue
		}
		break
	}
	first := h.packets[0]
	if h.whole && len(first) > len(p) {
		return 0, ErrPacketTooLong
	}
	n := copy(p, first)
	if n < len(first) {
		h.packets[0] = first[n:]
	} else {
		h.packets = h.packets[1:]
	}
	h.bytes -= n
	h.changed.Broadcast()
	return n, nil
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, len(p))
	written := 0
	for written < len(p) {
		n := len(p) - written
		if h.limit > 0 {
			n = min(n, h.limit-h.bytes)
		}
		switch {
		case h.broken != nil:
			return written, h.broken
		case h.writing.passed:
			return written, os.ErrDeadlineExceeded
		case n == 0:
			h.changed.Wait()
			continue
		}
		h.packets = append(h.packets, append([]byte(nil), p[written:written+n]...))
		h.bytes += n
		written += n
		h.changed.Broadcast()
	}
	return written, h.broken
}

// Writes returns the lengths of all Writes so far.
func (c *Conn) Writes() []int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return append([]int(nil), c.out.writes...)
}

// Close implements net.Conn. What was written can still be read by the peer.
func (c *Conn) Close() error {
	c.in.end(net.ErrClosed, io.ErrClosedPipe, true)
	c.out.end(io.EOF, net.ErrClosed, false)
	return nil
}

// FailReads makes reads fail with err once what was written has been read.
func (c *Conn) FailReads(err error) { c.in.end(err, nil, false) }

// FailWrites makes writes fail with err.
func (c *Conn) FailWrites(err error) { c.out.end(nil, err, false) }

// end sets the errors that are not set yet, and may drop what was not read.
func (h *half) end(eof, broken error, drop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.eof == nil || drop {
		h.eof = eof
	}
	if h.broken == nil {
		h.broken = broken
	}
	if drop {
		h.packets, h.bytes = nil, 0
	}
	h.changed.Broadcast()
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return nil }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn. After it nothing is read, as on sockets, even if
// it has arrived.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.reads, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.writing, t)
	return nil
}

// set sets one of the deadlines of h.
func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.at, d.passed = t, false
	if t.IsZero() {
		return
	}
	pass := func() {
		d.passed = true
		h.changed.Broadcast()
	}
	if wait := time.Until(t); wait > 0 {
		time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if d.at.Equal(t) {
				pass()
			}
		})
		return
	}
	pass()
}
