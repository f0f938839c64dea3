// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "context"

// A callerSide is what a client's connection knows of the caller who reads, and of
// the next.
type callerSide struct {
	// Guarded by mu.
	crowded bool // calls were under way at once since the seat was last vacated

	// Owned by who reads.
	first *frame    // the request of the caller who reads, until that has written it
	wrote func(int) // c.wroteFirst, made once
}

// sitLocked is called when a stream is opened. It reports whether the caller must
// read until the answer has come.
func (c *conn) sitLocked(s *stream) (reads bool) {
	if s.done != nil && c.role == roleClient && (len(c.streams) == 1 || c.seat != seatVacant) {
		return c.moveSeatLocked(seatWait) == seatTaken
	}
	c.moveSeatLocked(seatNeeded) // a caller may have to wait for receivers
	return false
}

// leaveLocked is called by a client's reader when a call has ended. It reports
// whether the seat is vacated, for the next caller.
func (c *conn) leaveLocked() bool {
	if len(c.streams) > 0 || c.expectsLocked() {
		return false
	}
	crowded := c.crowded
	c.crowded = false
	return c.isBusyLocked() && !crowded && c.moveSeatLocked(seatLeave) == seatLeft
}

// readFor reads for the call s, until that has ended or ctx has. It reports
// whether s may be used again.
func (c *conn) readFor(ctx context.Context, s *stream) (again bool) {
	if ctx.Done() != nil {
		stop := afterFunc(ctx, func() {
			c.giveUpCall(ctx, s)
			c.mu.Lock()
			c.moveSeatLocked(seatGivenUp)
			c.mu.Unlock()
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
		c.moveSeatLocked(seatHandOver)
		c.mu.Unlock()
		return true
	}
}

// writesFirstLocked is called when the caller who reads has become the writer. It
// reports whether it need not write before it reads, because then it only writes
// and waits: the answer cannot be there yet, so to try to read would be in vain.
func (c *conn) writesFirstLocked() bool {
	if c.out.count > 1 || c.ch.r < c.ch.w || c.mode != nil && !c.mode.isPlainLocked() {
		return false
	}
	c.first = c.popLocked()
	if c.wrote == nil {
		c.wrote = c.wroteFirst
	}
	c.ch.socket.writeFirst(c.first, c.wrote)
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
