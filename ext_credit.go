// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// In extended mode a message of a stream is sent only while there is credit for it,
// on its stream and on the connection. It may begin when there is any, and is
// charged as a whole, so a message that is larger than the window can leave. What
// the receiver consumes it grants again.

// A credit is that of a connection, guarded by its mu but for two fields.
type credit struct {
	send sendCredit
	recv recvWindow

	// These need no lock, and are read for each message, so no other is on their cache line.
	_       [64]byte
	starved atomic.Bool  // the peer has no credit on the connection
	owed    atomic.Int64 // what was consumed since it was looked whether credit can be granted
	_       [64]byte
}

// A flow is the credit of one stream, guarded by its connection's mu.
type flow struct {
	send sendCredit
	recv recvWindow

	// The receiver's, on a cache line of its own: how much it has taken since it last
	// granted any, and how much of that it has not told the connection.
	_          [64]byte
	owed       int
	unreported int
	_          [64]byte
}

func newFlow(theirs uint64, ours int) *flow {
	return &flow{send: newSendCredit(theirs), recv: newRecvWindow(ours)}
}

// chargeOfReceived is how much credit a received message has taken.
func chargeOfReceived(f *frame) int { return chargeOf(f.size(), filesOf(f).count()) }

// awaitLocked implements [mode]. What is queued behind a large message waits, too.
func (x *extended) awaitLocked(s *stream, over *bound) bool {
	c, m := x.c, s.extra()
	for (!m.maySend(&x.send) || m.train != nil && m.train.bytes > maxPending) && s.isActive() && !c.closed && c.lost == nil {
		if over.errLocked() != nil {
			return false
		}
		s.waiting.Wait()
	}
	return true
}

// maySend tells whether a message may be begun. A stream of which all was consumed may
// begin one whatever the others hold: those may be waiting for just this one.
func (f *flow) maySend(all *sendCredit) bool {
	return f.send.any() && (all.any() || f.send.isFull())
}

// spendLocked charges a message that is to be sent.
func (x *extended) spendLocked(s *stream, f *frame) {
	files := filesOf(f).count()
	n := chargeOf(len(f.data)-messageHeaderLength, files)
	if files > 0 {
		moreOf(f).charged = files * fileCharge
	}
	s.extra().send.spend(n)
	x.send.spend(n)
}

// refundLocked takes back what a frame was charged that will not be sent.
func (x *extended) refundLocked(f *frame) {
	h := f.header // of one that leaves in parts, else it is in the data
	if h.Type == 0 {
		h, _ = parseHeader(f.data)
	}
	if h.Type != messageTypeData || h.Flags&flagNoData != 0 {
		return
	}
	n := chargeOf(len(f.data)-messageHeaderLength, 0)
	if m, ok := f.extras.(*frameMore); ok {
		n += m.charged
	}
	had := x.send.any()
	x.send.refund(n)
	x.creditedLocked(had)
}

// creditedLocked wakes who may wait for the connection's credit, if there was none.
func (x *extended) creditedLocked(had bool) {
	if had || !x.send.any() {
		return
	}
	for _, s := range x.c.streams {
		s.waiting.Broadcast()
	}
}

// grantedLocked takes note of credit that the peer grants.
func (x *extended) grantedLocked(s *stream, f *frame) {
	n := numberOf(f)
	credit := &x.send
	switch {
	case f.header.StreamID == 0:
	case s == nil || s.more == nil || s.extra().flow == nil:
		return // late
	default:
		credit = &s.extra().send
	}
	had := credit.any()
	if err := credit.grant(n); err != nil {
		x.failConnLocked(&connError{fmt.Sprintf("stream %d: %v", f.header.StreamID, err)})
		return
	}
	if s != nil {
		s.waiting.Broadcast()
	} else {
		x.creditedLocked(had)
	}
}

// chargeLocked takes a message off the room of its stream, which may have ended, and
// of the connection. It returns an error if the peer had no credit on the stream.
func (x *extended) chargeLocked(s *stream, f *frame) error {
	if f.header.Type != messageTypeData || f.header.Flags&flagNoData != 0 {
		return nil
	}
	n := chargeOf(int(f.header.Length), filesOf(f).count())
	if m, ok := f.extras.(*frameMore); ok {
		n += m.charged
	}
	x.recv.charge(n)
	had := true
	if s != nil && s.more != nil && s.extra().flow != nil {
		had = s.extra().recv.charge(n)
	}
	if x.recv.room <= 0 {
		// Messages may arrive in another order than they were charged, and each stream
		// may have one that the connection had no credit for.
		if most := int64(len(x.c.streams)+1) * int64(chargeOf(x.c.messageLimit(), maxFiles)); -x.recv.room > most {
			x.failConnLocked(&connError{"a message without credit on the connection"})
		}
		x.starveLocked(s)
	}
	if !had {
		return status.Error(codes.ResourceExhausted, "ttrpc: a message without credit on the stream")
	}
	return nil
}

// starveLocked takes note whether the peer has used up the connection's credit. As long as
// that is so, streams get theirs as soon as anything is consumed. What has just arrived
// for a stream, which may be nil, is not in its inbox yet.
func (x *extended) starveLocked(arriving *stream) {
	if starved := x.recv.room <= 0; starved != x.starved.Load() {
		x.starved.Store(starved)
		if !starved {
			return
		}
		for _, s := range x.c.streams {
			if s.more != nil && s.extra().flow != nil && s != arriving {
				x.grantStreamLocked(s)
			}
		}
		x.grantRoomLocked()
	}
}

// consumed implements [mode]. Now and then it grants the peer as much again as has become
// free.
func (x *extended) consumed(s *stream, f *frame, dropped bool) {
	flow := s.extra().flow
	if dropped {
		x.grant(s)
		return
	}
	n := chargeOfReceived(f)
	flow.owed += n
	flow.unreported += n
	window := x.c.cfg.limits.Queue.Window
	if flow.unreported < window/16 && flow.owed < window/2 && !x.starved.Load() {
		return
	}
	owed := int(x.owed.Add(int64(flow.unreported)))
	flow.unreported = 0
	if flow.owed >= window/2 || owed >= x.c.cfg.limits.Queue.ConnectionBytes/4 || x.starved.Load() {
		flow.owed = 0
		x.grant(s)
	}
}

// grant gives the peer credit for what is free in the stream's window, and the
// connection's.
func (x *extended) grant(s *stream) {
	x.c.mu.Lock()
	defer x.c.unlock()
	if x.c.closed || x.c.lost != nil {
		return
	}
	x.grantStreamLocked(s)
	x.grantRoomLocked()
}

// grantStreamLocked gives the peer credit for what is free in the stream's window.
func (x *extended) grantStreamLocked(s *stream) {
	if !s.isActive() {
		return
	}
	if n := s.extra().recv.grant(s.inbox.size()); n > 0 {
		x.urgeLocked(numberFrame(messageTypeCredit, s.id, n))
	}
}

// grantRoomLocked gives the peer credit for what is free of the connection's window,
// if that is much.
func (x *extended) grantRoomLocked() {
	held := int(x.c.total.Load())
	x.owed.Store(0)
	if x.recv.free(held) < max(1, x.recv.window/4) || x.c.closed {
		return
	}
	n := x.recv.grant(held)
	x.starveLocked(nil)
	x.urgeLocked(numberFrame(messageTypeCredit, 0, n))
}
