// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A link is the connection below a websocket. Its Write never waits for the network, a
// goroutine does: pings, their answers and close frames, which share the websocket with data,
// could not leave otherwise while the other end does not take that. Whoever sends data calls
// awaitRoom first.
type link struct {
	net.Conn           // is closed by flush, or by kill
	ahead    io.Reader // what comes from Conn, and what was read of it already
	heard    atomic.Int64

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	pending *[]byte // what flush takes next, or nil
	flushes bool
	closed  bool
	err     error
}

// maxPending is how many bytes a link keeps that the other end does not take: more than data
// is let to be. Who is sent pings and reads nothing gets no more.
const maxPending = 1 << 20

var (
	errFlood = errors.New("the other end asks for answers and does not read them")

	pendings = sync.Pool{New: func() any { return new([]byte) }}
)

func newLink(conn net.Conn, ahead io.Reader) *link {
	l := &link{Conn: conn, ahead: ahead}
	l.changed.L = &l.mu
	go l.flush()
	return l
}

// Read implements net.Conn.
func (l *link) Read(b []byte) (int, error) {
	n, err := l.ahead.Read(b)
	if n > 0 {
		l.heard.Add(1)
	}
	return n, err
}

// Write implements net.Conn.
func (l *link) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return 0, l.err
	case l.closed:
		return 0, net.ErrClosed
	case l.pending == nil:
		l.pending = pendings.Get().(*[]byte)
	case len(*l.pending)+len(b) > maxPending:
		l.err = errFlood
		l.changed.Broadcast()
		return 0, l.err
	}
	*l.pending = append(*l.pending, b...)
	l.changed.Broadcast()
	return len(b), nil
}

// awaitRoom waits until what was written before is on its way.
func (l *link) awaitRoom() error {
	return l.await(func() bool { return l.pending == nil })
}

// awaitSent waits until all that was written has left.
func (l *link) awaitSent() error {
	return l.await(func() bool { return l.pending == nil && !l.flushes })
}

func (l *link) await(isDone func() bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !isDone() && l.err == nil && !l.closed {
		l.changed.Wait()
	}
	return l.err
}

// flush writes to the network until the link is closed and all has left, or that fails.
func (l *link) flush() {
	for {
		b := l.take()
		if b == nil {
			break
		}
		_, err := l.Conn.Write(*b)
		if cap(*b) <= 256<<10 {
			*b = (*b)[:0]
			pendings.Put(b)
		}
		l.mu.Lock()
		l.flushes = false
		if l.err == nil {
			l.err = err
		}
		l.changed.Broadcast()
		l.mu.Unlock()
	}
	l.Conn.Close()
}

// take returns what is to be written, or nil when there will be no more.
func (l *link) take() *[]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending == nil && !l.closed && l.err == nil {
		l.changed.Wait()
	}
	if l.err != nil {
		return nil
	}
	b := l.pending
	l.pending, l.flushes = nil, b != nil
	l.changed.Broadcast()
	return b
}

// Close implements net.Conn. What was written before still leaves, within a second.
func (l *link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	return errors.Join(l.Conn.SetReadDeadline(time.Unix(1, 0)), l.Conn.SetWriteDeadline(time.Now().Add(time.Second)))
}

// kill closes the connection at once.
func (l *link) kill() {
	l.mu.Lock()
	if l.err == nil {
		l.err = net.ErrClosed
	}
	l.changed.Broadcast()
	l.mu.Unlock()
	l.Conn.Close()
}
