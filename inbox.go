// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// An inbox is the bounded queue of a stream's received messages. A nil one, that of a
// unary call, holds nothing and may be closed. The reader
// puts in; when more is in than the bounds allow, the receiver has some time
// to take out, then the stream fails (B41).
type inbox struct {
	mu    sync.Mutex
	ready sync.Cond // something was put in or taken out, or the end is set
	queue frameQueue
	end   error       // what take returns once the queue is empty
	late  *time.Timer // made when the queue is first over its bounds

	timed   bool // late runs
	taken   bool // the receiver took a message since late was started
	begun   bool // the receiver has taken any message
	more    bool // messages have come after the request
	dropped bool // the stream has failed: nothing is kept

	// waited is set when the receiver had to wait, so that its next message is
	// likely one that the peer waits for. It needs no lock.
	waited atomic.Bool

	waiting int             // how many receivers wait for a message
	staying int             // and how many of these do until one comes
	wished  bool            // a receiver has given up, and no message was taken since
	hungry  func(stay bool) // is to be called before one waits, or nil
	told    bool            // it was, but by none that stays
	got     time.Duration   // when the receiver got a message that it had waited for, else 0

	opening int32 // the memory of the request, until start
	held    int   // what is queued, as weigh has it

	// weigh says what a frame counts; nil is its cost. A mode that sets it has the sender
	// wait for the receiver, so that the queue needs no bounds.
	weigh func(*frame) int

	// total counts the bytes of all inboxes of the connection, and of the
	// requests that are still to be started; nil once the
	// stream is no longer in the table.
	total *atomic.Int64
}

func (b *inbox) init(c *conn) {
	b.ready.L = &b.mu
	b.total = &c.total
}

func (b *inbox) fullLocked(q *StreamQueue) bool {
	return b.queue.count > q.Messages || b.held > q.Bytes
}

// countLocked adds n bytes to the connection's total.
func (b *inbox) countLocked(n int) {
	if b.total != nil {
		b.total.Add(int64(n))
	}
}

// put adds a frame to the inbox, which then owns it, unless the stream has ended. If the
// receiver stays too slow the stream fails.
func (s *stream) put(f *frame) (kept bool) {
	b, q := s.inbox, &s.conn.cfg.limits.Queue
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end != nil {
		return false
	}
	b.queue.push(f)
	b.more = true
	b.countFrameLocked(f, 1)
	if b.weigh == nil && !b.timed && b.fullLocked(q) {
		b.timed, b.taken = true, false
		if b.late == nil {
			b.late = time.AfterFunc(q.Patience, s.checkOverdue)
		} else {
			b.late.Reset(q.Patience)
		}
	}
	b.ready.Broadcast()
	return true
}

// checkOverdue fails the stream if its queue has been full for all of the
// receiver's patience and nothing was taken out.
func (s *stream) checkOverdue() {
	if s.inbox.overdue(&s.conn.cfg.limits.Queue) {
		s.conn.fail(s, ErrStreamFull)
	}
}

// overdue reports whether the queue is full and nothing was taken out since
// the timer was started. If something was, it starts the timer again.
func (b *inbox) overdue(q *StreamQueue) bool {
	b.mu.Lock()
	b.timed = b.end == nil && b.fullLocked(q)
	overdue := b.timed && !b.taken
	if b.timed && b.taken {
		b.taken = false
		b.late.Reset(q.Patience)
	}
	b.mu.Unlock()
	return overdue
}

// expect counts the request, n bytes of memory, until start tells whether it
// has a message.
func (b *inbox) expect(n int) {
	b.mu.Lock()
	b.opening = int32(n)
	b.countLocked(n)
	b.mu.Unlock()
}

// weighWith has the inbox, which is empty, count frames so.
func (b *inbox) weighWith(weigh func(*frame) int) {
	b.mu.Lock()
	b.weigh = weigh
	b.mu.Unlock()
}

// start ends what expect began. If the request has a message, it is f, and comes
// before the data that the stream may already hold; else f is nil.
func (b *inbox) start(f *frame) {
	b.mu.Lock()
	b.countLocked(-int(b.opening))
	b.opening = 0
	if f != nil && !b.dropped {
		b.queue.pushFront(f)
		b.countFrameLocked(f, 1)
		f = nil
	}
	f.release()
	b.ready.Broadcast() // for awaitTake, too
	b.mu.Unlock()
}

// take waits for the next message and returns it, or the error with which the
// stream ended, or that of ctx. It waits by reading if it may.
func (s *stream) take(ctx context.Context) (f *frame, err error) {
	b := s.inbox
	var over *bound
	b.mu.Lock()
	if b.queue.head == nil && ctx.Done() != nil {
		b.mu.Unlock()
		over = newBound(ctx, &b.ready, s.rouseReceiver)
		defer func() {
			if over.end(); err != nil {
				s.staysAway()
			}
		}()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	got := b.got
	b.got = 0
	for b.queue.head == nil {
		switch {
		case b.end != nil:
			return nil, b.end
		case b.hungry != nil && (over == nil || !b.told):
			b.tellHungryLocked(over == nil)
			continue
		case over.errLocked() != nil:
			b.wished = true
			return nil, over.errLocked()
		}
		b.waited.Store(true)
		s.waitForNextLocked(over, got)
		got = 0
	}
	f = b.queue.pop()
	b.countFrameLocked(f, -1)
	b.begun, b.taken, b.wished = true, true, false
	b.ready.Broadcast() // for awaitTake
	return f, nil
}

// waitForNextLocked waits until something happens, by reading if it may. A receiver without
// a bound stays until a message comes. got is when it got the last, or 0.
func (s *stream) waitForNextLocked(over *bound, got time.Duration) {
	b, n := s.inbox, 0
	if over == nil {
		n = 1
	}
	b.waiting, b.staying = b.waiting+1, b.staying+n
	b.mu.Unlock()
	read := s.conn.readForReceiver(s, over, s.learn(got))
	b.mu.Lock()
	if !read && b.lacksLocked(over) {
		b.ready.Wait()
	}
	b.waiting, b.staying = b.waiting-1, b.staying-n
	if s.call != nil {
		b.got = now()
	}
}

// lacksLocked tells whether the receiver has to wait, until over comes.
func (b *inbox) lacksLocked(over *bound) bool {
	return b.queue.head == nil && b.end == nil && over.errLocked() == nil
}

// lacks is lacksLocked.
func (b *inbox) lacks(over *bound) bool {
	b.mu.Lock()
	lacks := b.lacksLocked(over)
	b.mu.Unlock()
	return lacks
}

// isAwaited tells whether the receiver waits for a message.
func (b *inbox) isAwaited() bool {
	b.mu.Lock()
	awaited := b.waiting > 0 && b.lacksLocked(nil)
	b.mu.Unlock()
	return awaited
}

// waits tells whether the receiver wants a message that has not come, for which it waits or
// has tried to receive, and whether it stays until that comes. Until it does hungry is called
// when it is about to wait.
func (b *inbox) waits(hungry func(stay bool)) (wants, stays bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.head == nil {
		wants, stays = b.waiting > 0 || b.wished, b.staying > 0
	}
	if !stays {
		b.hungry, b.told = hungry, wants
	}
	return wants, stays
}

// tellHungryLocked calls what is to be called when the receiver is about to wait: once, and
// once more by who stays.
func (b *inbox) tellHungryLocked(stay bool) {
	hungry := b.hungry
	if b.told = true; stay {
		b.hungry = nil
	}
	b.mu.Unlock()
	hungry(stay)
	b.mu.Lock()
}

// awaitTake waits until the queue is smaller than size, which it was found to
// be, and returns true. It returns false if the receiver has never taken
// anything, though it got more than its request, or nothing is kept for it any
// more.
func (b *inbox) awaitTake(size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.sizeLocked() >= size {
		if !b.begun && b.more || b.dropped || b.total == nil {
			return false
		}
		b.ready.Wait()
	}
	return true
}

// close sets what take returns once the queue is empty. The first error
// stands, except that with discard the queue is dropped and err replaces it.
func (b *inbox) close(err error, discard bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped || b.end != nil && !discard {
		return
	}
	b.end = err
	if discard {
		b.dropped = true
		b.countLocked(-b.sizeLocked())
		b.opening, b.held = 0, 0
		b.queue.releaseAll()
	}
	if b.timed {
		b.timed = false
		b.late.Stop()
	}
	b.ready.Broadcast()
}

// uncount takes what is queued out of the connection's total, for good.
func (b *inbox) uncount() {
	b.mu.Lock()
	b.countLocked(-b.sizeLocked())
	b.total = nil
	b.ready.Broadcast() // for awaitTake
	b.mu.Unlock()
}

// size returns how many bytes of memory count as queued.
func (b *inbox) size() int {
	_, bytes := b.holds()
	return bytes
}

// holds returns how many messages are queued, and size.
func (b *inbox) holds() (messages, bytes int) {
	if b == nil {
		return 0, 0
	}
	b.mu.Lock()
	messages, bytes = b.queue.count, b.sizeLocked()
	b.mu.Unlock()
	return messages, bytes
}

func (b *inbox) sizeLocked() int { return b.held + int(b.opening) }

// countFrameLocked counts a frame that was put in, or with -1 taken out.
func (b *inbox) countFrameLocked(f *frame, sign int) {
	n := 0
	if b.weigh == nil {
		n = sign * f.cost()
	} else {
		n = sign * b.weigh(f)
	}
	b.held += n
	b.countLocked(n)
}
