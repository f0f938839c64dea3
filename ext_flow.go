// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "fmt"

// The flow control of the extended mode, as values with arithmetic and no lock. The proof
// that it bounds what is held, and that nobody waits for ever, is below.
//
// What a receiver holds of messages that have arrived, in full or in part, is
//
//	streams' windows ≤ budget + calls' window + two messages
//
// and one message more if streams are received from Within a context. Beside it there is
// the one frame that is arriving, of up to maxFrameData. That is so because of these
// invariants, which a random test plays against both ends:
//
//	(1) a stream:        room + held ≤ window, but for the one stream that is granted more,
//	    and one whose receiver may have gone, for it receives Within a context
//	(2) all streams:     Σ window + first messages = used ≤ size of the budget, but for one
//	    first message; while its handler has not taken it another such stream is refused
//	(3) requests, answers: room + held ≤ size, or size + one message, while no stream whose
//	    receiver stays is granted more
//
// room is what the peer may still send, held what has come of it and is not consumed. A
// peer that sends where there is no room ends the connection with the first byte of it.
//
// Nobody waits for ever, because
//
//   - a sender begins only what its credit covers in full, so what was begun is finished
//     or reset without waiting for the receiver, and no part of a message waits for credit
//     that another part of one holds;
//   - requests and answers are consumed without waiting for anything: a request is started,
//     refused or, while the peer does not read, parked, and of an end that has calls under
//     way no more are parked than half of the window; an answer goes to its caller. Of two
//     ends that park each other's calls one parked its first while it had calls under way.
//     So their credit always comes back, at the latest all of it for who says that it waits;
//   - a stream's message waits only for the receiver of that stream. One of up to half the
//     least window fits once that has consumed all: what is not granted is less than half
//     of the window. A larger one asks, and is granted when the receiver waits for it, or has
//     tried to receive it: from the budget if there is room, else as the one over the bound;
//   - a request or answer that is larger than the half of the window that is not for parked
//     ones asks, too. Who has the turn to be
//     the one over the bound needs nothing more to send it, and the receiver nothing more
//     to take it, so the next one's turn comes. Who receives Within a context may not come
//     back for what was granted, so such streams have turns of their own, for which only such
//     streams wait. A first message over the bound has no turn, for nobody knows when its
//     handler takes it;
//   - a message that is given up leaves what it has asked for behind. The next one of its stream
//     takes that back as it begins, or asks in its place, and what was granted meanwhile is
//     returned: the grant says that it is one;
//   - a sender whose peer's handler has returned stops to send, and receives: an answer
//     that asks says that it is one.

const (
	// messageCharge is what a message is charged beside its data, about what it
	// costs to hold; fileCharge the same for each file that comes with it.
	messageCharge = 256
	fileCharge    = 4096

	// freeAnswer is how much data an answer may have that takes no credit: each call and
	// stream has one, and this side has made it.
	freeAnswer = 2 << 10

	// maxShare and minShare bound what a stream begins with, and shares is of how many
	// streams a budget has room for, between these bounds.
	maxShare = 8 << 10
	minShare = 1 << 10
	shares   = 4 << 10
)

// chargeOf is how much credit a message takes.
func chargeOf(data, files int) int { return data + messageCharge + files*fileCharge }

// A payer tells whose credit a message takes.
type payer uint8

const (
	payNobody payer = iota
	payStream       // its stream's
	payCalls        // that of requests and answers
)

// payerOf tells who pays for a frame with that header. Cost is that of the message, cut
// whether parts or files of it have gone ahead.
func payerOf(t messageType, flags uint8, cost int, cut bool) payer {
	switch {
	case t == messageTypeRequest:
		return payCalls
	case t == messageTypeData && flags&flagNoData == 0:
		return payStream
	case t != messageTypeResponse, !cut && cost <= chargeOf(freeAnswer, 0):
		return payNobody
	case flags&flagStream != 0:
		return payStream
	}
	return payCalls
}

// A sendCredit is what one end may send, in bytes:
//
//	have = full − spent + refunded + granted − returned
type sendCredit struct {
	have int64
	full int64 // what it began with
}

func newSendCredit(window uint64) sendCredit {
	n := int64(min(window, maxCredit))
	return sendCredit{n, n}
}

// fits tells whether a message of that cost may begin.
func (c *sendCredit) fits(n int) bool { return int64(n) <= c.have }

// isSure tells whether a message of that cost will fit: of a stream once the receiver has
// consumed all that was sent, of calls whatever is parked.
func (c *sendCredit) isSure(n int) bool { return 2*int64(n) <= c.full }

// spend takes the charge of a message.
func (c *sendCredit) spend(n int) { c.have -= int64(n) }

// refund takes back what was charged and is not sent.
func (c *sendCredit) refund(n int) { c.have += int64(n) }

// grant adds what the peer grants. It refuses 0, and more than there may be.
func (c *sendCredit) grant(n uint32) error {
	if n == 0 || c.have+int64(n) > maxCredit {
		return fmt.Errorf("a credit of %d bytes where there are %d", n, c.have)
	}
	c.have += int64(n)
	return nil
}

// takeBack takes what is of no use any more, beyond what it began with and n more.
func (c *sendCredit) takeBack(n int) uint32 {
	back := max(0, c.have-int64(n)-c.full)
	c.have -= back
	return uint32(back)
}

// A recvWindow is what the other end may still send on one stream. What is free of it is
// derived, so credit cannot leak: window = room + held + free.
type recvWindow struct {
	room, held   int64
	window, base int64 // base is the least that window is
}

// charge takes a message, or a part of one, that has come. It reports whether the peer had
// credit for it.
func (w *recvWindow) charge(n int) bool {
	w.room -= int64(n)
	w.held += int64(n)
	return w.room >= 0
}

// consume takes note that of what is held so much was consumed.
func (w *recvWindow) consume(n int64) { w.held -= n }

// isOver tells whether the peer was granted more than the window has.
func (w *recvWindow) isOver() bool { return w.room+w.held > w.window }

// grant gives the peer what is free, and says how much that is.
func (w *recvWindow) grant() uint32 {
	n := max(0, w.window-w.room-w.held)
	w.room += n
	return uint32(n)
}

// grantOver gives the peer what it lacks for a message of that cost.
func (w *recvWindow) grantOver(cost int64) uint32 {
	n := max(0, cost-w.room)
	w.room += n
	return uint32(n)
}

// takeBack takes credit that the peer will not use. It reports whether the peer had it.
func (w *recvWindow) takeBack(n uint32) bool {
	w.room -= int64(n)
	return w.room >= 0
}

// A budget is what the streams of a connection share.
type budget struct{ size, used int64 }

// has tells whether so much is left.
func (b *budget) has(n int64) bool { return b.used+n <= b.size }

// resize widens a window of which much was consumed, up to most, or narrows it if the half
// that is for new streams is in use.
func (b *budget) resize(w *recvWindow, most int64) {
	next := w.window
	switch {
	case b.used > b.size/2:
		next = min(next, max(w.base, w.window/2, w.room+w.held))
	case w.window < most:
		next = min(2*w.window, most)
	}
	b.widen(w, next)
}

// widen gives a window that size, if that leaves the half that is for new streams.
func (b *budget) widen(w *recvWindow, size int64) {
	more := size - w.window
	if more <= 0 || b.used+more <= b.size/2 {
		w.window += more
		b.used += more
	}
}

// shareOf is what a stream begins with where all may hold so much, and one so much.
func shareOf(budget int64, window int) int64 {
	return min(int64(window), max(minShare, min(maxShare, budget/shares)))
}

// A callWindow is what the other end may still send of requests and answers.
type callWindow struct {
	room, held, size int64
	wanted           int64 // what the one costs that waits at the peer, 0 if none does
	extra            int64 // how much the peer was granted for it, beyond the window
}

// charge takes a request or answer, or a part of one. It reports whether the peer had
// credit for it.
func (w *callWindow) charge(n int) bool {
	w.room -= int64(n)
	w.held += int64(n)
	return w.room >= 0
}

// consume takes note that so much was consumed.
func (w *callWindow) consume(n int) { w.held -= int64(n) }

// hold keeps so much of what was consumed after all.
func (w *callWindow) hold(n int) { w.held += int64(n) }

// needsMore tells whether the one that waits is larger than what is sure to become free:
// half of the window may be held for long.
func (w *callWindow) needsMore() bool { return 2*w.wanted > w.size }

// isOver tells whether the peer was granted more than the window has, or is to be.
func (w *callWindow) isOver() bool { return w.extra > 0 || w.room+w.held > w.size }

// grant gives the peer what is free, if that is much or one waits, and says how much that
// is.
func (w *callWindow) grant() uint32 {
	n := w.size + w.extra - w.room - w.held
	if n <= 0 || n < w.size/4 && w.wanted == 0 {
		return 0
	}
	w.room += n
	return uint32(n)
}

// grantBeyond gives the peer what the one costs that waits, and says how much that is.
func (w *callWindow) grantBeyond() uint32 {
	w.extra = w.wanted
	w.room += w.extra
	return uint32(w.extra)
}

// takeBack takes credit that the peer will not use. It reports whether the peer had it.
func (w *callWindow) takeBack(n uint32) bool {
	w.room -= int64(n)
	return w.room >= 0
}
