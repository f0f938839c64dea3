// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package duplex

import (
	"errors"
	"net"
	"slices"
	"sync"
)

// ErrFull is what Enter and Put return if there are too many conns that nobody has accepted.
var ErrFull = errors.New("too many connections shake hands or wait to be accepted")

// A Queue has the conns that wait to be accepted. The zero Queue is empty and open.
type Queue struct {
	mu      sync.Mutex
	changed *sync.Cond // made when first needed

	// Guarded by mu.
	waiting []net.Conn
	entered int // how many shake hands
	closed  bool
}

func (q *Queue) condLocked() *sync.Cond {
	if q.changed == nil {
		q.changed = sync.NewCond(&q.mu)
	}
	return q.changed
}

// Enter takes a place for one that shakes hands, unless limit conns do so or wait already, or
// the queue was closed, which is net.ErrClosed. Leave gives the place back.
func (q *Queue) Enter(limit int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return net.ErrClosed
	case q.entered+len(q.waiting) >= limit:
		return ErrFull
	}
	q.entered++
	return nil
}

// Leave gives back what Enter took, and comes after Put: so no conn that has a place is
// refused another.
func (q *Queue) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entered--
}

// Put adds a conn, unless limit conns wait already or the queue was closed, which is
// net.ErrClosed.
func (q *Queue) Put(c net.Conn, limit int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return net.ErrClosed
	case len(q.waiting) >= limit:
		return ErrFull
	}
	q.waiting = append(q.waiting, c)
	q.condLocked().Signal()
	return nil
}

// Drop removes a conn that nobody has accepted.
func (q *Queue) Drop(c net.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w net.Conn) bool { return w == c })
}

// Accept returns the conn that waits longest, or waits for one. After Close it returns
// net.ErrClosed.
func (q *Queue) Accept() (net.Conn, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil, net.ErrClosed
		}
		q.condLocked().Wait()
	}
	c := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return c, nil
}

// Closed tells whether Close was called.
func (q *Queue) Closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// Close closes the conns that wait, and takes no more.
func (q *Queue) Close() error {
	q.mu.Lock()
	waiting := q.waiting
	q.waiting, q.closed = nil, true
	q.condLocked().Broadcast()
	q.mu.Unlock()
	for _, c := range waiting {
		c.Close()
	}
	return nil
}
