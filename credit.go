// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// In extended mode a message of a stream is sent only while there is credit for it,
// on its stream and on the connection. It may begin when there is any, and is
// charged as a whole, so a message that is larger than the window can leave. What
// the receiver consumes it grants again.

const (
	// messageCharge is what a message is charged beside its data, about what it
	// costs to hold; fileCharge the same for each file that comes with it.
	messageCharge = 256
	fileCharge    = 4096

	// maxCredit is the most credit that there may be.
	maxCredit = 1<<31 - 1
)

// chargeOf is how much credit a message takes.
func chargeOf(data, files int) int { return data + messageCharge + files*fileCharge }

// A flow is the credit of one stream, guarded by its connection's mu.
type flow struct {
	credit int // how much may be sent
	full   int // what that is when nothing is outstanding
	room   int // how much may be received

	// The receiver's, on a cache line of its own: how much he has taken since he last
	// granted any, and how much of that he has not told the connection.
	_          [64]byte
	owed       int
	unreported int
	_          [64]byte
}

// openFlowLocked gives a stream its credit in extended mode.
func (c *conn) openFlowLocked(s *stream) {
	if x := c.ext; x != nil && !s.unary {
		credit := int(min(x.peer.Window, maxCredit))
		s.flow = &flow{credit: credit, full: credit, room: c.cfg.queue.Window}
		s.inbox.charge()
	}
}

// awaitCreditLocked waits until a message may be sent, or the stream ends. What is queued
// behind a large message waits, too.
func (c *conn) awaitCreditLocked(s *stream) {
	x := c.ext
	for (!s.flow.maySend(x.credit) || s.rides && x.trainOf(s).bytes > maxPending) && s.isActive() && !c.closed && c.lost == nil {
		s.waiting.Wait()
	}
}

// maySend tells whether a message may be begun. A stream of which all was consumed may
// begin one whatever the others hold: those may be waiting for just this one.
func (f *flow) maySend(credit int) bool { return f.credit > 0 && (credit > 0 || f.credit >= f.full) }

// spendLocked charges a message that is to be sent.
func (c *conn) spendLocked(s *stream, f *frame) {
	n := chargeOf(len(f.data)-messageHeaderLength, len(f.files))
	s.flow.credit -= n
	c.ext.credit -= n
	f.charged = uint32(n)
}

// unspendLocked takes back what a message was charged that will not be sent.
func (c *conn) unspendLocked(f *frame) {
	had := c.ext.credit
	c.ext.credit += int(f.charged)
	f.charged = 0
	c.creditedLocked(had)
}

// creditedLocked wakes who may wait for the connection's credit, which was had.
func (c *conn) creditedLocked(had int) {
	if had > 0 || c.ext.credit <= 0 {
		return
	}
	for _, s := range c.streams {
		s.waiting.Broadcast()
	}
}

// grantedLocked takes note of credit that the peer grants.
func (c *conn) grantedLocked(f *frame) {
	n := int64(numberOf(f))
	x := c.ext
	credit := &x.credit
	s := c.streams[f.header.StreamID]
	switch {
	case f.header.StreamID == 0:
	case s == nil || s.flow == nil:
		return // late
	default:
		credit = &s.flow.credit
	}
	had := *credit
	if n == 0 || int64(had)+n > maxCredit {
		c.failConnLocked(&connError{fmt.Sprintf("a credit of %d bytes on stream %d, which has %d", n, f.header.StreamID, had)})
		return
	}
	*credit += int(n)
	if s != nil {
		s.waiting.Broadcast()
	} else {
		c.creditedLocked(had)
	}
}

// chargeLocked takes a message off the room of its stream, which may have ended, and
// of the connection. It returns an error if the peer had no credit on the stream.
func (c *conn) chargeLocked(s *stream, f *frame) error {
	if f.header.Type != messageTypeData || f.header.Flags&flagNoData != 0 {
		return nil
	}
	x := c.ext
	n := chargeOf(int(f.header.Length), len(f.files)) + int(f.charged)
	x.room -= n
	had := 1
	if s != nil && s.flow != nil {
		had = s.flow.room
		s.flow.room -= n
	}
	if x.room <= 0 {
		// Messages may arrive in another order than they were charged, and each stream
		// may have one that the connection had no credit for.
		if most := int64(len(c.streams)+1) * int64(chargeOf(c.messageLimit(), maxFiles)); -int64(x.room) > most {
			c.failConnLocked(&connError{"a message without credit on the connection"})
		}
		c.starveLocked(s)
	}
	if had <= 0 {
		return status.Error(codes.ResourceExhausted, "ttrpc: a message without credit on the stream")
	}
	return nil
}

// starveLocked takes note whether the peer has used up the connection's credit. As long as
// that is so, streams get theirs as soon as anything is consumed. What has just arrived
// for a stream, which may be nil, is not in its inbox yet.
func (c *conn) starveLocked(arriving *stream) {
	x := c.ext
	if starved := x.room <= 0; starved != x.starved.Load() {
		x.starved.Store(starved)
		if !starved {
			return
		}
		for _, s := range c.streams {
			if s.flow != nil && s != arriving {
				c.grantStreamLocked(s)
			}
		}
		c.grantRoomLocked()
	}
}

// consumed is called by a receiver that has taken a message. Now and then it grants
// the peer as much again as has become free.
func (s *stream) consumed(f *frame) {
	if s.flow == nil {
		return
	}
	n, c, flow := chargeOf(f.size(), len(f.files)), s.conn, s.flow
	flow.owed += n
	flow.unreported += n
	window, x := c.cfg.queue.Window, c.ext
	if flow.unreported < window/16 && flow.owed < window/2 && !x.starved.Load() {
		return
	}
	owed := int(x.owed.Add(int64(flow.unreported)))
	flow.unreported = 0
	if flow.owed >= window/2 || owed >= c.cfg.queue.ConnectionBytes/4 || x.starved.Load() {
		flow.owed = 0
		c.grant(s)
	}
}

// grant gives the peer credit for what is free in the stream's window, and the
// connection's.
func (c *conn) grant(s *stream) {
	c.mu.Lock()
	defer c.unlock()
	if c.closed || c.lost != nil {
		return
	}
	c.grantStreamLocked(s)
	c.grantRoomLocked()
}

// grantStreamLocked gives the peer credit for what is free in the stream's window.
func (c *conn) grantStreamLocked(s *stream) {
	if free := c.cfg.queue.Window - s.flow.room - s.inbox.size(); free > 0 && s.isActive() {
		s.flow.room += free
		c.urgeLocked(numberFrame(messageTypeCredit, s.id, uint32(free)))
	}
}

// grantRoomLocked gives the peer credit for what is free of the connection's window,
// if that is much.
func (c *conn) grantRoomLocked() {
	window := c.cfg.queue.ConnectionBytes
	free := window - c.ext.room - int(c.total.Load())
	c.ext.owed.Store(0)
	if free < max(1, window/4) || c.closed {
		return
	}
	c.ext.room += free
	c.starveLocked(nil)
	c.urgeLocked(numberFrame(messageTypeCredit, 0, uint32(free)))
}
