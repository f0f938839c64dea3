// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "time"

// A receiverSide is what a connection knows of the stream whose receiver reads.
type receiverSide struct {
	// Guarded by mu.
	receiver *stream // whose receiver reads, or for whose receiver the seat was vacated, else nil
	needs    int     // how many wait for what only comes if somebody reads, and do not read
}

// deliverAloneLocked puts a frame, if that is a message, into the inbox of the only stream
// that there is, if its receiver waits, and vacates the seat for that receiver if it is
// likely to be back soon. It reports whether it did either.
func (c *conn) deliverAloneLocked(s *stream, f *frame, act action) (delivered, left bool) {
	if act != actMessage || len(c.streams) > 1 || c.needs > 0 || !c.ch.isEmpty() || !s.inbox.isAwaited() || c.expectsLocked() {
		return false, false
	}
	crowded := c.crowded
	c.crowded = false
	pace := s.pace()
	switch {
	case !c.isBusyLocked() || crowded || (s.call == nil) != (c.role == roleClient):
		return false, false
	case pace != nil && !pace.mayRunHere(quickAlone) || c.mode == nil && c.isOverCap(f.cost()):
		return false, false
	case !s.put(f):
		return false, false
	}
	if left = c.moveSeatLocked(seatLeave) == seatLeft; left {
		c.receiver, c.running, c.ch.lends = s, pace, false
	}
	return true, left
}

// readForReceiver reads until there is something for the receiver of s, or over has come,
// if the seat was vacated for it. It reports whether it was.
func (c *conn) readForReceiver(s *stream, over *bound, took time.Duration) bool {
	c.mu.Lock()
	sits := c.receiver == s && !c.closed && s.inbox.lacks(over) && c.moveSeatLocked(seatWait) == seatTaken
	first := false
	if sits {
		c.receiver, c.ch.lends = s, true
		if first = c.held == 1 && c.writesFirstLocked(); first {
			c.held = 0
		}
	}
	c.mu.Unlock()
	if !sits {
		return false
	}
	if first {
		c.traceSent(c.first)
	}
	if took >= stall {
		s.pace().notSoon()
	}
	for {
		result := c.readNext()
		if result == readLeft {
			return true
		}
		if c.first != nil { // woken before it could be written
			c.wroteFirst(0)
		}
		c.mu.Lock()
		stays := result == readGoesOn && c.seat == seatWaiter && len(c.streams) == 1 && s.inbox.lacks(over)
		c.ch.lends = stays
		if !stays && (result == readRelieved || c.role == roleServer || !c.leaveLocked()) {
			c.moveSeatLocked(seatHandOver)
		}
		c.mu.Unlock()
		if !stays {
			return true
		}
	}
}

// holdLocked is told that a message of s was queued, and whether the caller must write. It
// reports whether it still must: if the handler is to be back soon, the first message waits
// for that, and leaves as the reader begins to wait.
func (c *conn) holdLocked(s *stream, lead bool) bool {
	switch {
	case c.receiver != s || c.seat != seatVacant:
	case lead && s.call != nil && s.inbox.waited.Load() && c.out.bytes <= min(maxPending, c.cfg.limits.Queue.ConnectionBytes):
		c.held = 1
		return false
	case !lead && c.held > 0:
		c.held = 0
		return true
	}
	return lead
}

// awaitsReceiverLocked tells whether the seat is vacant for a receiver.
func (c *conn) awaitsReceiverLocked() bool { return c.receiver != nil && c.seat == seatVacant }

// rouseReceiverLocked has the receiver of s, if it reads, look whether it still has to.
func (c *conn) rouseReceiverLocked(s *stream) {
	if c.receiver == s {
		c.moveSeatLocked(seatGivenUp)
		c.tellRoomLocked()
	}
}

// rouseReceiver is rouseReceiverLocked.
func (s *stream) rouseReceiver() {
	s.conn.mu.Lock()
	s.conn.rouseReceiverLocked(s)
	s.conn.mu.Unlock()
}

// staysAway is called by a receiver that has not waited for a message, for which the seat
// may be vacant.
func (s *stream) staysAway() {
	c := s.conn
	c.mu.Lock()
	if c.receiver == s && c.seat == seatVacant && !c.closed {
		c.moveSeatLocked(seatNeeded)
	}
	c.mu.Unlock()
}

// receiverGoesLocked is called when a stream leaves the table. If the seat is vacant for
// its receiver, that does not come back.
func (c *conn) receiverGoesLocked(s *stream) {
	if c.receiver != s {
		return
	}
	c.rouseReceiverLocked(s)
	if c.seat == seatVacant {
		c.receiver, c.running = nil, nil
		if c.role == roleServer || c.held > 0 {
			c.moveSeatLocked(seatNeeded)
		}
	}
}

// waitLocked waits until a sender on s has to look again: the peer may have to tell it to.
func (s *stream) waitLocked() {
	c := s.conn
	c.needs++
	c.moveSeatLocked(seatNeeded)
	s.waiting.Wait()
	c.needs--
}

// learn has the method of a stream learn of its receiver, who comes for another message,
// how long it took since it got one, if got says when. It returns how long.
func (s *stream) learn(got time.Duration) (took time.Duration) {
	p := s.pace()
	if p == nil || got == 0 {
		return 0
	}
	took = now() - got
	p.learn(took)
	return took
}

// pace is what the server has learnt of the stream's method, nil at a client.
func (s *stream) pace() *pace {
	if s.call == nil {
		return nil
	}
	return s.call.pace()
}
