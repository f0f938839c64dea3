// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"container/list"
	"fmt"
)

// Requests and answers share the credit of the connection. Who consumes them waits for
// nothing, so it always comes back; until then frames stand in a line, by their streams,
// and no goroutine waits.

// A calls is the credit of requests and answers, guarded by the connection's mu.
type calls struct {
	send    sendCredit
	recv    callWindow
	granted int64 // what the peer is not told yet

	line    list.List          // of *stream: those with frames that wait, in the order in which they do
	bytes   int                // the memory of these frames
	answers map[uint32]*stream // those that are in line with an answer
	asked   int                // what the peer knows that the first of these costs, or 0
}

func newCalls(theirs uint64, ours int64) calls {
	return calls{send: newSendCredit(theirs), recv: callWindow{room: ours, size: ours}}
}

// A lined is what of a stream stands in line. It is guarded by the connection's mu.
type lined struct {
	frames frameQueue // the first is the request or the answer
	place  *list.Element
}

// grantCallsLocked gives the peer credit for what is free, if that is much.
func (x *extended) grantCallsLocked() {
	x.settleCallsLocked()
	if n := x.calls.recv.grant(); n > 0 && !x.c.closed {
		x.calls.granted += int64(n)
		x.writeSoonLocked()
	}
}

// lineUpLocked has a frame wait for credit, behind all that does.
func (x *extended) lineUpLocked(s *stream, f *frame) {
	m := s.moreLocked()
	if m.place == nil {
		m.place = x.calls.line.PushBack(s)
		if messageType(f.data[8]) == messageTypeResponse {
			if x.calls.answers == nil {
				x.calls.answers = make(map[uint32]*stream)
			}
			x.calls.answers[s.id] = s
		}
	}
	m.frames.push(f)
	x.calls.bytes += f.cost()
	x.askForCallsLocked()
}

// askForCallsLocked tells the peer what the first in line costs: it grants all that it can
// while there is a line, and what is larger than that beyond the window. Who has asked for
// that is heard out first.
func (x *extended) askForCallsLocked() {
	cost := 0
	if e := x.calls.line.Front(); e != nil {
		s := e.Value.(*stream)
		cost, _ = costOf(s, s.extra().frames.head)
	}
	large := x.calls.isLarge(cost)
	if x.calls.isLarge(x.calls.asked) || !large && (cost == 0) == (x.calls.asked == 0) {
		return
	}
	x.calls.asked = cost
	x.urgeLocked(numberFrame(messageTypeWant, 0, uint32(cost)))
}

// isLarge tells whether a request or answer of that cost is to have credit beyond the
// window, if there is not enough: parked calls may hold half of that.
func (c *calls) isLarge(cost int) bool { return !c.send.isSure(cost) }

// grantedBeyondLocked takes note of the credit that a large request or answer has asked for,
// which may have been given up. What is not needed goes back.
func (x *extended) grantedBeyondLocked(n int) error {
	if !x.calls.isLarge(x.calls.asked) || n != x.calls.asked {
		return fmt.Errorf("%d bytes beyond the window, and %d were asked for", n, x.calls.asked)
	}
	x.calls.asked = 0
	x.urgeLocked(numberFrame(messageTypeWant, 0, 0))
	if e := x.calls.line.Front(); e != nil {
		s := e.Value.(*stream)
		if cost, _ := costOf(s, s.extra().frames.head); x.calls.isLarge(cost) && cost <= n {
			n -= cost
			x.leadLineLocked(s)
		}
	}
	if n > 0 {
		x.urgeLocked(numberFrame(messageTypeReturn, 0, uint32(n)))
	}
	x.advanceLocked()
	return nil
}

// leadLineLocked queues what of a stream stands in line. It is paid.
func (x *extended) leadLineLocked(s *stream) {
	frames := x.leaveLineLocked(s)
	for f := frames.pop(); f != nil; f = frames.pop() {
		if x.queueLocked(s, f) {
			go x.c.writeOut(nil, 0)
		}
	}
}

// isInLine tells whether frames of the stream wait for credit.
func (s *stream) isInLine() bool { return s.more != nil && s.extra().place != nil }

// leaveLineLocked takes a stream out of the line, and returns what it had there.
func (x *extended) leaveLineLocked(s *stream) frameQueue {
	m := s.extra()
	frames := m.frames
	x.calls.line.Remove(m.place)
	x.calls.bytes -= frames.bytes
	delete(x.calls.answers, s.id)
	m.lined = lined{}
	return frames
}

// advanceLocked queues what has credit of those in line.
func (x *extended) advanceLocked() {
	for e := x.calls.line.Front(); e != nil; e = x.calls.line.Front() {
		s := e.Value.(*stream)
		n, _ := costOf(s, s.extra().frames.head)
		if !x.calls.send.fits(n) {
			break
		}
		x.calls.send.spend(n)
		x.leadLineLocked(s)
	}
	x.askForCallsLocked()
}

// withdrawLineLocked drops what of a stream stands in line. It reports whether the request
// did.
func (x *extended) withdrawLineLocked(s *stream) (request bool) {
	if !s.isInLine() {
		return false
	}
	frames := x.leaveLineLocked(s)
	request = messageType(frames.head.data[8]) == messageTypeRequest
	for f := frames.pop(); f != nil; f = frames.pop() {
		f.release()
	}
	x.advanceLocked()
	return request
}

// dropLineLocked drops all that stands in line. Nothing more is written.
func (x *extended) dropLineLocked() {
	for e := x.calls.line.Front(); e != nil; e = x.calls.line.Front() {
		s := e.Value.(*stream)
		frames := x.leaveLineLocked(s)
		for f := frames.pop(); f != nil; f = frames.pop() {
			f.release()
		}
		if s.done != nil && s.isActive() && !x.c.closed {
			s.opening = nil
			x.c.failLocked(s, x.c.refusal()) // nothing of the call has left
		}
	}
}

// refundLocked takes back what a frame was charged that is not sent in full. Paid is how
// much of it the peer has been sent and gives back. The credit of a stream goes with it.
func (x *extended) refundLocked(s *stream, f *frame, paid int) {
	n, who := costOf(s, f)
	rest := n - min(n, paid)
	switch {
	case who != payCalls || rest == 0:
	case x.calls.isLarge(n): // it was granted for this one alone
		x.urgeLocked(numberFrame(messageTypeReturn, 0, uint32(rest)))
	default:
		x.calls.send.refund(rest)
		x.advanceLocked()
	}
}
