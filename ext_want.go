// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"container/list"
	"fmt"
)

// A message of a stream that does not fit its credit asks for more, and is granted that when
// the stream's receiver waits for it, or has tried to receive it. The next message, or what it
// asks for, takes back what was asked for. What was granted so and is not used goes back.

// An asking is what a sender of a stream waits for. It is guarded by the connection's mu.
type asking struct {
	head   *frame // the message that is the first of those that wait, or nil
	wanted int    // what a message costs that has asked last, until that was granted
	given  int    // the same once it was granted, until a message has begun
	lapsed bool   // the peer may have granted what was asked for and then taken back
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
		return m.send.fits(n) && (train == nil || train.bytes <= maxPending)
	}
	if m.head == nil && ready() {
		x.beginsLocked(s, n)
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
		s.waitLocked()
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
	if m.wanted == n || m.send.fits(n) || m.send.isSure(n) && !answers {
		return
	}
	m.lapsed = m.lapsed || m.wanted != 0
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

// askedLocked is called when the stream was granted credit, with answers set if it has what
// was asked for in it.
func (x *extended) askedLocked(s *stream, answers bool) {
	m := flowOf(s)
	if m.wanted != 0 && m.send.fits(m.wanted) {
		m.given, m.wanted = m.wanted, 0
	}
	if answers && m.lapsed {
		m.given, m.lapsed = int(m.send.have), false
	}
	if m.given > 0 && m.head == nil { // the message was given up
		x.giveBackLocked(s, 0)
	}
}

// beginsLocked is called when a message begins, the first of those that wait if any do. If
// another had asked, and was given up, what this one needs less goes back; or if nothing has
// come of it, this one takes back what was asked for.
func (x *extended) beginsLocked(s *stream, n int) {
	m := flowOf(s)
	if m.given > n {
		x.giveBackLocked(s, n)
	}
	m.lapsed = m.lapsed || m.wanted != 0
	m.given, m.wanted = 0, 0
	if m.head != nil {
		m.head = nil
		s.waiting.Broadcast()
	}
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

// The wishes of a connection for more than its windows have, of which one at a time is
// granted. They are guarded by its mu.
type wishes struct {
	line  list.List     // of *stream: those that wait for their turn; nil is the calls
	place *list.Element // of the calls in line, or nil
	over  *stream       // the one that was granted more than its window has, or nil
	calls bool          // it is the calls that are
}

// isFree tells whether it is nobody's turn.
func (w *wishes) isFree() bool { return w.over == nil && !w.calls }

// A wish is what the peer has asked for on a stream. It is guarded by the connection's mu.
type wish struct {
	cost    int64         // of the peer's message, 0 if it has not asked, or was granted that
	line    *wishes       // in whose line it stands, or nil
	place   *list.Element // and where
	answers bool          // what is to be told of credit has what was asked for in it
}

// wishesOf returns those among which the stream has its turn: of receivers that stay until
// the message comes, or of those that may have gone. Nobody waits in the first because of
// somebody in the second.
func (x *extended) wishesOf(s *stream, stays bool) *wishes {
	if x.loose.over == s || !stays && x.wishes.over != s {
		return &x.loose
	}
	return &x.wishes
}

// isOverLocked tells whether it is the stream's turn to have more than its window has.
func (x *extended) isOverLocked(s *stream) bool { return x.wishes.over == s || x.loose.over == s }

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
		m.takeBack()
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
	hungry := func(stays bool) {
		x.c.mu.Lock()
		defer x.c.unlock()
		x.fulfilLocked(s, stays)
	}
	if wants, stays := s.inbox.waits(hungry); wants {
		x.fulfilLocked(s, stays)
	}
}

// fulfilLocked grants what was asked for on a stream whose receiver wants a message and has
// consumed all: from the budget if there is room, else when it is its turn.
func (x *extended) fulfilLocked(s *stream, stays bool) {
	m := flowOf(s)
	if m == nil || m.cost == 0 || !s.isActive() || x.c.closed {
		return
	}
	w := x.wishesOf(s, stays)
	if m.line == w {
		return
	}
	m.leaveLine()
	m.recv.consume(m.owed.Swap(0))
	x.streams.widen(&m.recv, max(m.recv.window, m.cost))
	m.most.Store(m.recv.window / 2)
	x.grantLocked(s, m.recv.grant())
	switch {
	case m.recv.room >= m.cost:
	case w.isFree() || w.over == s:
		w.over = s
		x.grantLocked(s, m.recv.grantOver(m.cost))
	default:
		m.line, m.place = w, w.line.PushBack(s)
		return
	}
	m.cost, m.answers = 0, m.granted > 0
}

// leaveLine takes a stream out of the line in which it waits for its turn, if it does.
func (m *wish) leaveLine() {
	if m.line != nil {
		m.line.line.Remove(m.place)
		m.line, m.place = nil, nil
	}
}

// takeBack forgets what was asked for.
func (m *wish) takeBack() {
	m.cost = 0
	m.leaveLine()
}

// settleWishLocked gives the next stream its turn if s has had it.
func (x *extended) settleWishLocked(s *stream) {
	if x.isOverLocked(s) && !flowOf(s).recv.isOver() {
		w := x.wishesOf(s, false)
		w.over = nil
		x.nextWishLocked(w)
	}
}

// nextWishLocked gives the next in line its turn.
func (x *extended) nextWishLocked(w *wishes) {
	for w.isFree() {
		e := w.line.Front()
		if e == nil {
			return
		}
		next, _ := e.Value.(*stream)
		if next == nil {
			w.line.Remove(e)
			w.place = nil
			x.callsWantLocked(x.calls.recv.wanted)
			continue
		}
		flowOf(next).leaveLine()
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
		beyond.data[messageHeaderLength-1] = flagAsked
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
		x.nextWishLocked(&x.wishes)
	}
}

// unwishLocked forgets what was asked for on a stream that has ended.
func (x *extended) unwishLocked(s *stream) {
	flowOf(s).takeBack()
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
