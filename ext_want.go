// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"container/list"
	"fmt"
)

// A message of a stream that does not fit its credit asks for more, and is granted that when
// the stream's receiver waits for it. What was granted so and is not used goes back.

// An asking is what a sender of a stream waits for. It is guarded by the connection's mu.
type asking struct {
	head   *frame // the message that is the first of those that wait, or nil
	wanted int    // what a message costs that has asked, until that was granted
	given  int    // the same once it was granted, until the message has begun
}

// awaitLocked implements [mode]. What is queued behind a large message waits, too.
func (x *extended) awaitLocked(s *stream, f *frame, over *bound) bool {
	n, who := costOf(s, f)
	m := flowOf(s)
	if m == nil || who != payStream {
		return true
	}
	ready := func() bool {
		train := s.extra().train
		return m.wanted == 0 && m.send.fits(n) && (train == nil || train.bytes <= maxPending)
	}
	if m.head == nil && ready() {
		return true
	}
	for s.isActive() && !s.answered && !x.c.closed && x.c.lost == nil {
		if m.head == nil {
			m.head = f
		}
		if m.head == f {
			if ready() {
				x.beginsLocked(s, n)
				return true
			}
			x.askLocked(s, n)
		}
		if over.errLocked() != nil {
			if m.head == f {
				x.givesUpLocked(s)
			}
			return false
		}
		s.waiting.Wait()
	}
	if m.head == f {
		x.givesUpLocked(s)
	}
	return true
}

// askLocked asks for credit for a message of that cost, if it may not come unasked. A want
// has its place in the order of its stream. The peer is told if it is the answer that waits:
// it may be sending, and nobody receives.
func (x *extended) askLocked(s *stream, n int) {
	m := flowOf(s)
	answers := messageType(m.head.data[8]) == messageTypeResponse
	if m.wanted != 0 || m.send.fits(n) || m.send.isSure(n) && !answers {
		return
	}
	m.wanted, m.given = n, 0
	f := numberFrame(messageTypeWant, s.id, uint32(n))
	if answers {
		f.data[messageHeaderLength-1] = flagLast
	}
	f.owner = s
	if x.pushInOrderLocked(s, f) {
		go x.c.writeOut(nil, 0)
	}
}

// askedLocked is called when the stream was granted credit.
func (x *extended) askedLocked(s *stream) {
	m := flowOf(s)
	if m.wanted == 0 || !m.send.fits(m.wanted) {
		return
	}
	m.given, m.wanted = m.wanted, 0
	if m.head == nil { // the message was given up
		x.giveBackLocked(s, 0)
	}
}

// beginsLocked is called when the first message of those that wait begins. If another had
// asked, and was given up, what this one needs less goes back.
func (x *extended) beginsLocked(s *stream, n int) {
	m := flowOf(s)
	m.head = nil
	if m.given > n {
		x.giveBackLocked(s, n)
	}
	m.given = 0
	s.waiting.Broadcast()
}

// givesUpLocked is called when the first message of those that wait is given up.
func (x *extended) givesUpLocked(s *stream) {
	m := flowOf(s)
	if m.head = nil; m.given > 0 {
		x.giveBackLocked(s, 0)
	}
	s.waiting.Broadcast()
}

// giveBackLocked gives back what the stream was granted and has no use for, but n bytes.
func (x *extended) giveBackLocked(s *stream, n int) {
	m := flowOf(s)
	m.given = 0
	if back := m.send.takeBack(n); back > 0 {
		x.urgeLocked(numberFrame(messageTypeReturn, s.id, back))
	}
}

// The wishes of a connection for more than its windows have, guarded by its mu.
type wishes struct {
	line  list.List     // of *stream: those whose receivers wait, and that wait for their turn; nil is the calls
	place *list.Element // of the calls in line, or nil
	over  *stream       // the one that was granted more than its window has, or nil
	calls bool          // it is the calls that are
}

// isFree tells whether it is nobody's turn.
func (w *wishes) isFree() bool { return w.over == nil && !w.calls }

// A wish is what the peer has asked for on a stream. It is guarded by the connection's mu.
type wish struct {
	cost  int64         // of the peer's message, 0 if it has not asked
	place *list.Element // in wishes.line, or nil
}

// wantedLocked takes note of what the peer asks for.
func (x *extended) wantedLocked(s *stream, f *frame) {
	n := numberOf(f)
	m := flowOf(s)
	switch {
	case f.header.StreamID == 0:
		x.callsWantLocked(int64(n))
	case n == 0 || int64(n) > int64(chargeOf(x.c.messageLimit(), maxFiles)):
		x.failConnLocked(&connError{fmt.Sprintf("stream %d: a message that costs %d is asked for", f.header.StreamID, n)})
	case m != nil && s.isActive():
		m.cost = int64(n)
		if f.header.Flags&flagLast != 0 && s.call == nil {
			s.answered = true
			s.waiting.Broadcast()
		}
		x.hearLocked(s)
	}
}

// hearLocked grants what was asked for on a stream, or has the receiver do so when it waits.
func (x *extended) hearLocked(s *stream) {
	if s.inbox.waits(func() { x.fulfil(s) }) {
		x.fulfilLocked(s)
	}
}

// fulfil is called by a receiver that is about to wait.
func (x *extended) fulfil(s *stream) {
	x.c.mu.Lock()
	defer x.c.unlock()
	x.fulfilLocked(s)
}

// fulfilLocked grants what was asked for on a stream whose receiver waits and has consumed
// all: from the budget if there is room, else when it is its turn.
func (x *extended) fulfilLocked(s *stream) {
	m := flowOf(s)
	if m == nil || m.cost == 0 || m.place != nil || !s.isActive() || x.c.closed {
		return
	}
	m.recv.consume(m.owed.Swap(0))
	x.streams.widen(&m.recv, max(m.recv.window, m.cost))
	m.most.Store(m.recv.window / 2)
	x.grantLocked(s, m.recv.grant())
	switch {
	case m.recv.room >= m.cost:
		m.cost = 0
	case x.wishes.isFree() || x.wishes.over == s:
		x.wishes.over = s
		x.grantLocked(s, m.recv.grantOver(m.cost))
		m.cost = 0
	default:
		m.place = x.wishes.line.PushBack(s)
	}
}

// settleWishLocked gives the next stream its turn if s has had it.
func (x *extended) settleWishLocked(s *stream) {
	if m := flowOf(s); x.wishes.over != s || m.recv.isOver() {
		return
	}
	x.wishes.over = nil
	x.nextWishLocked()
}

// nextWishLocked gives the next in line its turn.
func (x *extended) nextWishLocked() {
	for x.wishes.isFree() {
		e := x.wishes.line.Front()
		if e == nil {
			return
		}
		next, _ := x.wishes.line.Remove(e).(*stream)
		if next == nil {
			x.wishes.place = nil
			x.callsWantLocked(x.calls.recv.wanted)
			continue
		}
		flowOf(next).place = nil
		x.hearLocked(next) // its receiver may wait no more
	}
}

// callsWantLocked takes note of what the request or answer costs that waits at the peer, 0
// if none does. It is consumed without waiting, so it is granted what there is; and one that
// is larger than the window more when it is its turn.
func (x *extended) callsWantLocked(cost int64) {
	w := &x.calls.recv
	if cost > int64(chargeOf(x.c.messageLimit(), maxFiles)) {
		x.failConnLocked(&connError{fmt.Sprintf("a request or answer that costs %d is asked for", cost)})
		return
	}
	w.wanted = cost
	switch {
	case !w.needsMore():
		w.extra = 0
		if x.wishes.place != nil {
			x.wishes.line.Remove(x.wishes.place)
			x.wishes.place = nil
		}
	case w.extra > 0: // it has that
	case x.wishes.isFree():
		x.wishes.calls = true
		beyond := numberFrame(messageTypeCredit, 0, w.grantBeyond())
		beyond.data[messageHeaderLength-1] = flagBeyond
		x.urgeLocked(beyond)
	case x.wishes.place == nil:
		x.wishes.place = x.wishes.line.PushBack((*stream)(nil))
	}
	x.grantCallsLocked()
}

// settleCallsLocked ends the calls' turn if they have had it.
func (x *extended) settleCallsLocked() {
	if x.wishes.calls && !x.calls.recv.isOver() {
		x.wishes.calls = false
		x.nextWishLocked()
	}
}

// unwishLocked forgets what was asked for on a stream that has ended.
func (x *extended) unwishLocked(s *stream) {
	m := flowOf(s)
	m.cost = 0
	if m.place != nil {
		x.wishes.line.Remove(m.place)
		m.place = nil
	}
	x.settleWishLocked(s)
}

// returnedLocked takes back credit that the peer has asked for and will not use.
func (x *extended) returnedLocked(s *stream, f *frame) {
	n, ok := numberOf(f), true
	m := flowOf(s)
	switch {
	case f.header.StreamID == 0:
		ok = x.calls.recv.takeBack(n)
		x.settleCallsLocked()
	case m == nil || !s.isActive():
		return // late
	default:
		ok = m.recv.takeBack(n)
	}
	if n == 0 || !ok {
		x.failConnLocked(&connError{fmt.Sprintf("stream %d: %d bytes of credit come back that were not given", f.header.StreamID, n)})
	}
	if m == nil || !ok {
		return
	}
	x.streams.widen(&m.recv, max(m.recv.base, min(m.recv.window, m.recv.room+m.recv.held)))
	m.most.Store(m.recv.window / 2)
	x.settleWishLocked(s)
}
