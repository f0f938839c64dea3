// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"sync"
)

// A queue passes things from who must not wait to one goroutine that may be slow. What has no
// room is dropped, and counted.
type queue[T any] struct {
	mu      sync.Mutex
	changed sync.Cond
	items   []T
	bytes   int
	limit   int // of bytes; the default is maxWaiting
	dropped int // after items
	closed  bool
}

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: cmp.Or(limit, maxWaiting)}
	q.changed.L = &q.mu
	return q
}

// put adds something of a size, and tells whether there was room. Once something was dropped,
// all is until the rest was taken, so that gaps are few.
func (q *queue[T]) put(item T, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.dropped > 0 || q.bytes+size > q.limit {
		q.dropped++
		return false
	}
	q.items = append(q.items, item)
	q.bytes += size
	q.changed.Signal()
	return true
}

// close says that nothing more comes.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}

// drain handles all until the queue is closed: things, and how many were dropped. After an error,
// which is told once, the rest is dropped.
func (q *queue[T]) drain(handle func(T) error, dropped func(int) error, fail func(error)) {
	failed := false
	try := func(err error) {
		if err != nil && !failed {
			failed = true
			fail(err)
		}
	}
	for {
		items, n, more := q.take()
		for _, item := range items {
			if !failed {
				try(handle(item))
			}
		}
		if n > 0 && !failed {
			try(dropped(n))
		}
		if !more {
			return
		}
	}
}

// take waits for something and takes all there is.
func (q *queue[T]) take() (items []T, dropped int, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && q.dropped == 0 && !q.closed {
		q.changed.Wait()
	}
	items, dropped, more = q.items, q.dropped, !q.closed
	q.items, q.bytes, q.dropped = nil, 0, 0
	return items, dropped, more
}
