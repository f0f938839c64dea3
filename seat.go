// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"time"
)

// On a kernel socket, who reads a connection is not fixed. To wake another
// goroutine for each frame costs more than all the rest of a short call, so where
// calls follow one another closely, nobody is woken: a client's caller reads its
// answer itself, and a server's reader runs the handler itself, if its method is
// known to be quick. One goroutine at a time has the reader's seat. It may stay
// vacant, while a handler runs or a client's next call is awaited, but not for
// long: a timer, which runs only in such times, sees to that.
type seat uint8

const (
	seatReader seat = iota // a goroutine reads, in readLoop
	seatCaller             // a client's only caller reads, for its answer
	seatVacant
)

const (
	// busyGap is how far apart calls may be for the seat to be vacated.
	busyGap = time.Millisecond

	// seatPatience is how long the seat may stay vacant, give or take as much
	// again. The watch wakes goroutines whenever it looks, and to get back to
	// where none is woken takes a while, so it should not look often.
	seatPatience = 10 * time.Millisecond

	// quickAlone is how long a method may take to run in the reader's place
	// while no other call is on its way: about what it takes to wake a goroutine
	// on another processor.
	quickAlone = 50 * time.Microsecond

	// quickAmong is the same among other calls, which handlers could else run
	// beside on other processors: about what a switch of goroutines costs.
	quickAmong = 2 * time.Microsecond

	// maxQuickRequest is the largest request whose handler may run so, for it
	// has to decode it.
	maxQuickRequest = 16 << 10

	// maxHeld is how many answers the reader collects while it has requests.
	maxHeld = 32
)

// seats is what a connection knows about who reads it. It is guarded by mu.
type seats struct {
	seat     seat
	crowded  bool          // calls were under way at once since the seat was last vacated
	woken    bool          // the caller who reads is to leave the seat to a goroutine
	lastCall time.Duration // when a call was the only one, while the watch did not run
	turn     uint64        // counts how often the seat was vacated
	running  *unaryMethod  // at a server: for which it was last vacated
	seen     uint64        // turn, when the watch last looked
	watch    *time.Timer   // made when first needed
	watching bool          // it runs
}

var epoch = time.Now()

// now returns the time on the monotonic clock.
func now() time.Duration { return time.Since(epoch) }

// isBusyLocked tells whether calls follow one another so closely that the seat
// may be vacated.
func (c *conn) isBusyLocked() bool {
	if c.ch.socket == nil || c.draining || c.cause != nil || c.lost != nil {
		return false
	}
	if c.watching {
		return true
	}
	last := c.lastCall
	c.lastCall = now()
	return c.lastCall-last < busyGap
}

// vacateLocked is called by who has the seat. Unless it soon takes it again, or
// a caller does, a new goroutine will.
func (c *conn) vacateLocked() {
	c.seat = seatVacant
	c.turn++
	switch {
	case c.watching:
		return
	case c.watch == nil:
		c.watch = time.AfterFunc(seatPatience, c.watchSeat)
	default:
		c.watch.Reset(seatPatience)
	}
	c.watching = true
}

// watchSeat fills the seat if it has been vacant ever since the last time. A caller
// who has been reading all the time is relieved: when he took the seat he did not
// try to read, so what had come before, such as the peer's end, he does not see.
func (c *conn) watchSeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	stays := c.turn == c.seen
	c.seen = c.turn
	c.watching = !c.closed && !stays
	switch {
	case c.watching:
		c.watch.Reset(seatPatience)
	case c.closed:
	case c.seat == seatCaller:
		c.relieveLocked()
	case c.seat == seatVacant:
		c.fillSeatLocked()
	}
}

// leaveLocked is called by a client's reader when a call has ended. It reports
// whether the seat is vacated, for the next caller.
func (c *conn) leaveLocked() bool {
	if len(c.streams) > 0 || c.expectsLocked() {
		return false
	}
	crowded := c.crowded
	c.crowded = false
	if !c.isBusyLocked() || crowded || c.woken {
		return false
	}
	c.vacateLocked()
	return true
}

// sitLocked is called when a client opens a stream. It reports whether the
// caller must read until the answer has come.
func (c *conn) sitLocked(s *stream) (reads bool) {
	c.crowded = c.crowded || len(c.streams) > 1
	unary := s.done != nil && c.role == roleClient
	switch {
	case c.seat == seatVacant && unary:
		c.seat = seatCaller
		return true
	case c.seat == seatVacant:
		c.fillSeatLocked()
	case c.seat == seatCaller && !unary:
		c.relieveLocked() // may have to wait for receivers
	}
	return false
}

// relieveLocked has the caller who reads leave the seat to a goroutine.
func (c *conn) relieveLocked() {
	if c.seat == seatCaller && !c.woken {
		c.woken = true
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// takeWake tells whether it was our deadline that woke the reader, and takes it off.
func (c *conn) takeWake() (relieved, settles bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	relieved, settles = c.woken, c.settles
	if relieved || settles {
		c.woken, c.settles = false, false
		c.nc.SetReadDeadline(time.Time{})
	}
	return relieved, settles
}

// readFor reads for the call s, until that has ended or ctx has. It reports
// whether s may be used again.
func (c *conn) readFor(ctx context.Context, s *stream) (again bool) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			c.fail(s, ctx.Err())
			c.mu.Lock()
			defer c.mu.Unlock()
			c.relieveLocked()
		})
		defer func() { again = stop() }()
	}
	for {
		result := c.readNext()
		if result == readLeft { // what readers own may be another's by now
			return true
		}
		if c.first != nil { // woken before it could be written
			if len(s.done) > 0 {
				c.first.data = nil // withdrawn
			}
			c.wroteFirst(0)
		}
		if result == readGoesOn && len(s.done) == 0 {
			continue
		}
		c.mu.Lock()
		c.seat = seatReader
		c.mu.Unlock()
		go c.readLoop()
		return true
	}
}

// writesFirstLocked is called when the caller who reads has become the writer. It
// reports whether he need not write before he reads, because then he only writes
// and waits: the answer cannot be there yet, so to try to read would be in vain.
func (c *conn) writesFirstLocked() bool {
	if c.out.count > 1 || c.ch.r < c.ch.w || c.mode != nil && !c.mode.isPlainLocked() {
		return false
	}
	c.first = c.popLocked()
	if c.wrote == nil {
		c.wrote = c.wroteFirst
	}
	c.ch.socket.writeFirst(c.first.data, c.wrote)
	return true
}

// wroteFirst takes note that n bytes of the request were written. A goroutine
// sees to the rest, to what others have queued, and to any error.
func (c *conn) wroteFirst(n int) {
	f := c.first
	c.first = nil
	if n == len(f.data) {
		f.release()
		f, n = nil, 0
	}
	c.mu.Lock()
	done := f == nil && !c.queuedLocked() && !c.draining
	c.writing = !done
	c.mu.Unlock()
	if !done {
		go c.writeOut(f, n)
	}
}

// serveHere runs a call on the reader's goroutine if it may. It reports whether
// it did, and whether the goroutine still is the reader.
func (c *conn) serveHere(call *serverCall, run func(*serverCall)) (served, reads bool) {
	c.mu.Lock()
	limit := quickAmong
	if len(c.streams) == 1 && !c.ch.hasFrame() {
		limit = quickAlone
	}
	if c.role == roleClient || call.method.isSlower(limit) || !c.isBusyLocked() {
		c.mu.Unlock()
		return false, true
	}
	c.vacateLocked()
	turn := c.turn
	call.reads, call.turn, c.running = c, turn, call.method
	c.mu.Unlock()

	returned := false
	defer func() {
		if !returned { // the handler ended its goroutine
			c.fillSeat(turn)
		}
	}()
	run(call)
	returned = true

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isTurnLocked(turn) {
		c.seat = seatReader
		return true, true
	}
	return true, false
}

// fillSeat has a goroutine read if the handler that runs in the reader's place is
// about to wait.
func (c *conn) fillSeat(turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isTurnLocked(turn) && !c.closed {
		c.fillSeatLocked()
	}
}

// fillSeatLocked has a goroutine read. If that is because of a handler, its method
// counts as slow before it has returned, lest the next call of it be run here, too.
func (c *conn) fillSeatLocked() {
	if c.running != nil {
		c.running.learn(seatPatience)
	}
	c.seat = seatReader
	go c.readLoop()
}

// isTurnLocked tells whether nobody has taken the seat since it was vacated for
// a turn.
func (c *conn) isTurnLocked(turn uint64) bool { return c.seat == seatVacant && c.turn == turn }

// pushAnswerLocked queues the answer to a call and reports whether the caller must
// write. If the reader ran the handler, the answer waits until the reader would.
func (c *conn) pushAnswerLocked(call *serverCall, f *frame) (lead bool) {
	lead = c.pushForLocked(&call.stream, f)
	if call.reads == nil || !c.isTurnLocked(call.turn) || !lead && c.held == 0 {
		return lead
	}
	if c.held++; c.held < maxHeld && c.out.bytes <= min(maxPending, c.cfg.queue.ConnectionBytes) {
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
		c.lead()
	}
}
