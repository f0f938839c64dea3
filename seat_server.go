// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// quickAlone is how long a method may take to run in the reader's place
	// while no other call is on its way: about what it takes to wake a goroutine
	// on another processor.
	quickAlone = 50 * time.Microsecond

	// quickAmong is the same among other calls, which handlers could else run
	// beside on other processors: about what a switch of goroutines costs.
	quickAmong = 2 * time.Microsecond

	// stall is from when on a run in the reader's place is not forgotten with the
	// next dozens: the other calls of the connection have waited for it. The
	// system may be to blame, which gave the processor to others, so it is
	// forgiven in the end.
	stall = time.Millisecond

	// atonement is how many runs in a row, somewhere else, must then be no stall. Four
	// times as many would cost a machine with much to do several percent.
	atonement = 250

	// maxQuickRequest is the largest request whose handler may run so, for it
	// has to decode it.
	maxQuickRequest = 16 << 10

	// maxHeld is how many answers the reader collects while it has requests.
	maxHeld = 32
)

// A handlerSide is what a server's connection knows of handlers in the reader's place.
type handlerSide struct {
	running *pace // guarded by mu: of the method for which the seat was last vacated
	held    int   // owned by who reads: how many answers wait for it to write them
}

// A turn is that of a handler that runs in the reader's place. It is over when
// anybody has taken the seat. The zero turn is that of a handler elsewhere. That of a
// stream's handler begins with each message for which the seat was vacated.
type turn struct {
	conn   *conn
	number uint64  // of a unary method
	stream *stream // else
}

// isHere tells whether the handler was begun in the reader's place.
func (t turn) isHere() bool { return t.conn != nil }

// lastsLocked tells whether nobody has taken the seat since.
func (t turn) lastsLocked() bool {
	switch c := t.conn; {
	case c == nil || c.seat != seatVacant:
		return false
	case t.stream != nil:
		return c.receiver == t.stream
	default:
		return c.turns == t.number
	}
}

// end has a goroutine read, if none does: the handler is about to wait.
func (t turn) end() {
	if t.conn == nil {
		return
	}
	t.conn.mu.Lock()
	if t.lastsLocked() && !t.conn.closed {
		t.conn.moveSeatLocked(seatNeeded)
	}
	t.conn.mu.Unlock()
}

// strainsLocked tells whether the reader may do more with a call than hand it to another
// goroutine: where calls are few, nothing is won, and its stack would have to grow. It may
// have to for a large request, too.
func (c *conn) strainsLocked(call *serverCall) bool {
	if c.role == roleClient || c.ch.kind != socketConn {
		return false
	}
	small := call.isSmall()
	switch {
	case small && !c.isBusyLocked():
		return false
	case !small && !c.watching:
		c.lastCall = call.opened
	}
	c.strained = true
	c.startWatchLocked()
	return small
}

// serveHere runs a call on the reader's goroutine if it may. It reports whether
// it did, and whether the goroutine still is the reader.
func (c *conn) serveHere(call *serverCall, run func(*serverCall)) (served, reads bool) {
	c.mu.Lock()
	limit := quickAmong
	if len(c.streams) == 1 && !c.ch.hasFrame() {
		limit = quickAlone
	}
	if c.role == roleClient || c.seat != seatReader || !call.method.mayRunHere(limit) || c.moveSeatLocked(seatLeave) != seatLeft {
		c.mu.Unlock()
		return false, true
	}
	call.turn, c.running = turn{conn: c, number: c.turns}, &call.method.pace
	c.mu.Unlock()

	returned := false
	defer func() {
		if !returned { // the handler ended its goroutine
			call.turn.end()
		}
	}()
	run(call)
	c.resetLabels()
	returned = true

	c.mu.Lock()
	defer c.mu.Unlock()
	if !call.turn.lastsLocked() {
		return true, false
	}
	c.moveSeatLocked(seatReturned)
	if call.stalls {
		call.method.notSoon()
	}
	return true, true
}

// pushAnswerLocked queues the answer to a call and reports whether the caller must
// write. If the reader ran the handler, the answer waits until the reader would.
func (c *conn) pushAnswerLocked(call *serverCall, f *frame) (lead bool) {
	lead = c.pushForLocked(&call.stream, f)
	if !call.turn.lastsLocked() || !lead && c.held == 0 {
		return lead
	}
	if c.held++; c.held < maxHeld && c.out.bytes <= min(maxPending, c.cfg.limits.Queue.ConnectionBytes) {
		return false
	}
	c.held = 0
	return true
}

// writeHeld is called by the reader, without locks, before it waits for anything:
// while it holds answers back, nobody else writes.
func (c *conn) writeHeld() {
	if c.held > 0 {
		c.held = 0
		c.lead(false)
	}
}

// A pace is what a server has learnt of how long a method takes. To have been quick
// for long is no promise: a method that has been seen to wait in the reader's place
// never runs there again, however quick it is most of the time.
type pace struct {
	took atomic.Int64 // in nanoseconds, on the average; 0 before it ran
	owes atomic.Int64 // how many runs in a row must be no stall before it may run there
}

// mayRunHere tells whether the method may run in the reader's place if that is for
// methods which take up to limit.
func (p *pace) mayRunHere(limit time.Duration) bool {
	took := p.took.Load()
	return took != 0 && time.Duration(took) <= limit && p.owes.Load() <= 0
}

// learn takes note of how long the method took. An unusually long time counts at
// once, and is forgotten with the next dozens.
func (p *pace) learn(took time.Duration) {
	average := p.took.Load()
	if average == 0 {
		average = int64(took)
	}
	p.took.Store(max(1, average+(int64(took)-average)/8))
	if owes := p.owes.Load(); owes > 0 {
		left := owes - 1
		if took >= stall {
			left = max(left, atonement)
		}
		p.owes.CompareAndSwap(owes, left) // else another run counts, or a worse thing
	}
}

// notSoon keeps the method from the reader's place until it has made up for a stall.
func (p *pace) notSoon() {
	if owes := p.owes.Load(); owes < atonement {
		p.owes.CompareAndSwap(owes, atonement)
	}
}

// neverHere keeps the method from the reader's place for good: the watch has found
// that the reader waits for it.
func (p *pace) neverHere() { p.owes.Store(math.MaxInt64) }
