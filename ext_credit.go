// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"container/list"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// When the values of ext_flow.go are asked. Requests and answers are in ext_calls.go, and
// messages that do not fit in ext_want.go.

// A credit is that of a connection, guarded by its mu.
type credit struct {
	calls    calls
	streams  budget
	granting list.List // of *stream: what they are granted is to be told
	wishes   wishes    // of receivers that stay until the message comes, and of calls
	loose    wishes    // of those that may have gone
	first    *stream   // for the message in whose request the budget has no room, or nil
}

func newCredit(peer *hello, q *StreamQueue) credit {
	own, callsOwn, _ := windowsOf(q)
	return credit{calls: newCalls(peer.ConnectionWindow, callsOwn), streams: budget{size: own}}
}

// windowsOf is how a connection's memory is divided: what streams share, what is for
// requests and answers, and what each stream begins with.
func windowsOf(q *StreamQueue) (streams, calls, share int64) {
	calls = max(1, int64(q.ConnectionBytes)/4)
	streams = max(1, int64(q.ConnectionBytes)-calls)
	return streams, calls, shareOf(streams, q.Window)
}

// A flow is the credit of one stream, guarded by its connection's mu but for what says
// otherwise.
type flow struct {
	send   sendCredit
	recv   recvWindow
	first  int64 // what the budget holds for the message in the request
	beyond bool  // it does not: the stream is credit.first
	reply  int64 // and for an answer that takes no credit
	unpaid bool  // the peer has opened it as a unary call, whose answer it takes for one

	asking // of us
	wish   // of the peer

	granted int64         // what is not told yet
	telling *list.Element // in credit.granting, or nil

	// The receiver's, on a cache line of its own, without the lock: how much it has taken
	// that the others do not know, and from how much on it tells.
	_    [64]byte
	owed atomic.Int64
	most atomic.Int64
	_    [64]byte
}

// chargeOfReceived is how much credit a received message has taken.
func chargeOfReceived(f *frame) int { return chargeOf(f.size(), filesOf(f).count()) }

// flowOf returns the credit of a stream that takes part in it, or nil.
func flowOf(s *stream) *flow {
	if s == nil || s.more == nil {
		return nil
	}
	return s.extra().flow
}

// needsLocked is what a stream takes from the budget: what the peer may send, and the
// message that its request has.
func (x *extended) needsLocked(state streamState, f *frame, flags uint8) (window, first int64) {
	if state == stateOpen {
		_, _, window = windowsOf(&x.c.cfg.limits.Queue)
	}
	if state != stateUnary && flags&flagNoData == 0 {
		first = int64(chargeOfReceived(f))
	}
	return window, first
}

// ownLocked is the same for a stream that we open.
func (x *extended) ownLocked() (window, answer int64) {
	_, _, window = windowsOf(&x.c.cfg.limits.Queue)
	return window, int64(chargeOf(freeAnswer, 0))
}

// noRoomLocked is how a stream is refused that the budget has no share for.
func (x *extended) noRoomLocked() *status.Status {
	return status.Newf(codes.ResourceExhausted, "ttrpc: no room for another stream: the others may hold %d of %d bytes", x.streams.used, x.streams.size)
}

// mayStreamLocked implements [mode].
func (x *extended) mayStreamLocked(f *frame, flags uint8) *status.Status {
	window, first := x.needsLocked(acceptedState(flags), f, flags)
	switch {
	case window+first == 0, x.streams.has(window + first), x.first == nil && x.streams.has(window):
		return nil
	}
	return x.noRoomLocked()
}

// addFlowLocked gives a stream its share.
func (x *extended) addFlowLocked(s *stream) {
	m := s.moreLocked()
	if m.flow != nil {
		return
	}
	m.flow = &flow{send: newSendCredit(x.peer.Window)}
	call, accepted := s.call.(*serverCall)
	var window int64
	switch {
	case !accepted:
		window, m.reply = x.ownLocked()
	default:
		state, flags := s.state, call.request.header.Flags
		if m.unpaid = acceptedState(flags) == stateUnary; m.unpaid {
			state, flags = stateRemoteClosed, 0
		}
		window, m.flow.first = x.needsLocked(state, call.request, flags)
	}
	m.recv = recvWindow{room: window, window: window, base: window}
	m.most.Store(window / 2)
	if m.beyond = m.flow.first > 0 && !x.streams.has(window+m.flow.first); m.beyond {
		x.first = s
	} else {
		x.streams.used += m.flow.first
	}
	x.streams.used += window + m.reply
	s.inbox.weighWith(chargeOfReceived)
}

// freeFlowLocked takes back the share of a stream that has ended.
func (x *extended) freeFlowLocked(s *stream) {
	m := flowOf(s)
	if m == nil {
		return
	}
	x.tookRequestLocked(s)
	x.streams.used -= m.recv.window + m.reply
	m.recv, m.reply = recvWindow{}, 0
	m.granted = 0
	if m.telling != nil {
		x.granting.Remove(m.telling)
		m.telling = nil
	}
	x.unwishLocked(s)
}

// tookRequestLocked implements [mode].
func (x *extended) tookRequestLocked(s *stream) {
	m := flowOf(s)
	switch {
	case m == nil || m.first == 0:
		return
	case m.beyond:
		m.beyond, x.first = false, nil
	default:
		x.streams.used -= m.first
	}
	m.first = 0
}

// costOf is what a sealed frame costs, with the files that have gone ahead of it, and who
// pays for it.
func costOf(s *stream, f *frame) (n int, who payer) {
	h := f.header // of one that leaves in parts, else it is in the data
	if h.Type == 0 {
		h, _ = parseHeader(f.data)
	}
	n = chargeOf(len(f.data)-messageHeaderLength, filesOf(f).count())
	if m, ok := f.extras.(*frameMore); ok && m.files.count() == 0 {
		n += m.charged
	}
	flags := h.Flags
	if h.Type == messageTypeResponse && flowOf(s) != nil && !s.extra().unpaid {
		flags |= flagStream
	}
	return n, payerOf(h.Type, flags, n, isLarge(f))
}

// chargeLocked takes a frame that has come, which completes a message, off the room of who
// pays for it: of a stream if the message is delivered there, for else it ends or has ended.
func (x *extended) chargeLocked(s *stream, f *frame, act action) {
	paid, rest, ofStream := 0, chargeOf(int(f.header.Length), 0), false
	if m, ok := f.extras.(*frameMore); ok && m.paid > 0 {
		paid, rest, ofStream = m.paid, m.rest, m.ofStream
	}
	ok := true
	switch who := payerOf(f.header.Type, f.header.Flags, paid+rest, paid > 0); {
	case paid > 0 && ofStream != (who == payStream): // it is no message that was begun
		x.consumePartsLocked(s, paid, ofStream)
	case who == payStream:
		if m := flowOf(s); m != nil && (act == actMessage || act == actLast || act == actEnd) {
			m.takeBack() // what it asked for and did not get, if it did
			ok = m.recv.charge(rest)
			x.widenSoonLocked(s, m)
		}
	case who == payCalls:
		ok = x.calls.recv.charge(rest)
		x.calls.recv.consume(paid + rest)
	case paid > 0:
		x.consumePartsLocked(s, paid, ofStream)
	}
	if !ok {
		x.noCreditLocked(f.header)
	}
}

// widenSoonLocked widens the window of a stream of which half is in use, whether anything was
// consumed or not, while three quarters of what streams share are left: who sends some messages
// before it receives any is not stopped by the little that a stream begins with.
func (x *extended) widenSoonLocked(s *stream, m *flow) {
	most := int64(x.c.cfg.limits.Queue.Window)
	if 2*m.recv.room >= m.recv.window || m.recv.window >= most || 4*x.streams.used > x.streams.size || x.isOverLocked(s) {
		return
	}
	x.streams.widen(&m.recv, min(2*m.recv.window, most))
	m.most.Store(m.recv.window / 2)
	x.grantLocked(s, m.recv.grant())
}

// consumePartsLocked takes note that parts of a message were dropped.
func (x *extended) consumePartsLocked(s *stream, paid int, ofStream bool) {
	if !ofStream {
		x.calls.recv.consume(paid)
		x.grantCallsLocked()
	} else if m := flowOf(s); m != nil && s.isActive() {
		m.recv.consume(int64(paid))
		x.grantLocked(s, m.recv.grant())
		x.settleWishLocked(s)
	}
}

// noCreditLocked ends the connection of a peer that sends more than it may.
func (x *extended) noCreditLocked(h messageHeader) {
	x.failConnLocked(&connError{fmt.Sprintf("stream %d: a %s of %d bytes without credit", h.StreamID, h.Type, h.Length)})
}

// consumed implements [mode]. Now and then it grants the peer as much again as has become
// free.
func (x *extended) consumed(s *stream, f *frame) {
	if f.header.Type == messageTypeRequest {
		x.c.mu.Lock()
		x.tookRequestLocked(s)
		x.c.unlock()
		return
	}
	m := s.extra().flow
	if m.owed.Add(int64(chargeOfReceived(f))) > m.most.Load() {
		x.grant(s)
	}
}

// grant gives the peer credit for what is free in the stream's window.
func (x *extended) grant(s *stream) {
	x.c.mu.Lock()
	defer x.c.unlock()
	m := flowOf(s)
	m.recv.consume(m.owed.Swap(0))
	if x.c.closed || x.c.lost != nil || !s.isActive() {
		return
	}
	x.streams.resize(&m.recv, int64(x.c.cfg.limits.Queue.Window))
	m.most.Store(m.recv.window / 2)
	x.grantLocked(s, m.recv.grant())
	x.settleWishLocked(s)
}

// grantLocked has the peer told what it is granted. What it has not been told is one
// number, so a peer that does not read costs nothing more.
func (x *extended) grantLocked(s *stream, n uint32) {
	if n == 0 {
		return
	}
	m := flowOf(s)
	if m.granted += int64(n); m.telling == nil {
		m.telling = x.granting.PushBack(s)
	}
	x.writeSoonLocked()
}

// nextGrantLocked returns a sealed frame that tells the peer of credit, or nil.
func (x *extended) nextGrantLocked() *frame {
	if n := x.calls.granted; n > 0 {
		x.calls.granted = 0
		return numberFrame(messageTypeCredit, 0, uint32(n))
	}
	e := x.granting.Front()
	if e == nil {
		return nil
	}
	s := x.granting.Remove(e).(*stream)
	m := flowOf(s)
	f := numberFrame(messageTypeCredit, s.id, uint32(m.granted))
	if m.answers {
		f.data[messageHeaderLength-1] = flagAsked
	}
	m.granted, m.telling, m.answers = 0, nil, false
	return f
}

// grantsWaitLocked tells whether the peer is to be told of credit.
func (x *extended) grantsWaitLocked() bool { return x.calls.granted > 0 || x.granting.Len() > 0 }

// writeSoonLocked has somebody write if nobody does: a stream's receiver who is to be back
// soon, or to send, else a goroutine.
func (x *extended) writeSoonLocked() {
	c := x.c
	if c.writing || c.closed || c.lost != nil {
		return
	}
	c.writing = true
	if c.awaitsReceiverLocked() {
		c.held = 1
		return
	}
	go c.writeOut(nil, 0)
}

// grantedLocked takes note of credit that the peer grants.
func (x *extended) grantedLocked(s *stream, f *frame) {
	n := numberOf(f)
	var err error
	switch m := flowOf(s); {
	case f.header.StreamID == 0 && f.header.Flags&flagAsked != 0:
		err = x.grantedBeyondLocked(int(n))
	case f.header.StreamID == 0:
		if err = x.calls.send.grant(n); err == nil {
			x.advanceLocked()
		}
	case m != nil:
		if err = m.send.grant(n); err == nil {
			x.askedLocked(s, f.header.Flags&flagAsked != 0)
			s.waiting.Broadcast()
		}
	}
	if err != nil {
		x.failConnLocked(&connError{fmt.Sprintf("stream %d: %v", f.header.StreamID, err)})
	}
}
