// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sync"
	"time"
)

// role is which end of a connection this is.
type role uint8

const (
	roleClient role = iota // opens streams, with odd ids
	roleServer             // accepts them; in extended mode it opens others, with even ids
)

// streamState is what the two ends of a stream may still do.
//
//	server: idle → open → remoteClosed → ended → idle
//	client: idle → open → idle
//	both:   idle → unary → warned → idle
//
// A step may be left out. That a client has half-closed its side is no state:
// it changes nothing about what may be received.
type streamState uint8

const (
	stateIdle         streamState = iota // not in the table
	stateUnary                           // one request, one response; the client sends no more
	stateWarned                          // the same, and the client was told so once (B38)
	stateOpen                            // both sides may send data
	stateRemoteClosed                    // the peer sent the half-close
	stateEnded                           // the server sent its terminal frame, the handler still runs
)

func (s streamState) String() string {
	return [...]string{"idle", "unary", "warned", "open", "remoteClosed", "ended"}[s]
}

// action is what a received frame asks for.
type action uint8

const (
	actIgnore  action = iota // drop the frame
	actOpen                  // a request: open a stream and run its handler
	actMessage               // deliver the data
	actClose                 // the peer's side closes, without a message
	actLast                  // deliver the data, then the peer's side closes
	actEnd                   // a response: the stream ends with what it says
	actReject                // answer with the violation; no stream is touched
	actFail                  // the stream fails with the violation
)

// violation says which rule a frame broke, in the words that the peer gets.
type violation string

const (
	violationNone     violation = ""
	violationEvenID   violation = "StreamID must be odd for client initiated streams"
	violationReused   violation = "StreamID cannot be re-used and must increment"
	violationInactive violation = "StreamID is no longer active"
	violationClosed   violation = "data handling error: ttrpc: stream closed"

	// These stay on this side: clients do not answer.
	violationType     violation = "unexpected message"
	violationNoStream violation = "received data from non-streaming server"
)

// onReceive decides what a frame means for a stream in state st. It knows all
// the rules about what may come when, and nothing else. streams tells a
// client whether the description of the stream lets the server stream.
func onReceive(r role, st streamState, streams bool, h messageHeader) (action, violation) {
	switch {
	case r == roleClient:
		return onOpenerReceive(st, streams, h)
	case h.StreamID%2 == 0:
		return actReject, violationEvenID // whatever the type (B37)
	}
	return onAccepterReceive(st, h)
}

// onOpenerReceive is onReceive for a stream that this end opened.
func onOpenerReceive(st streamState, streams bool, h messageHeader) (action, violation) {
	if st == stateIdle {
		return actIgnore, violationNone // late, or never ours (B22)
	}
	switch {
	case h.Type == messageTypeResponse:
		return actEnd, violationNone
	case h.Type != messageTypeData || st == stateUnary:
		return actFail, violationType
	case !streams:
		return actFail, violationNoStream
	case h.Flags&(flagRemoteClosed|flagNoData) == flagNoData:
		// Released servers mark a handler's SendMsg(nil) so, and their
		// clients receive it as the empty message that it is.
		return actMessage, violationNone
	}
	return onData(h.Flags), violationNone
}

// onAccepterReceive is onReceive for a stream that the peer opened, or is to open.
func onAccepterReceive(st streamState, h messageHeader) (action, violation) {
	switch {
	case h.Type == messageTypeRequest && st == stateIdle:
		return actOpen, violationNone
	case h.Type == messageTypeRequest:
		return actReject, violationReused
	case h.Type != messageTypeData || st == stateEnded || st == stateWarned:
		return actIgnore, violationNone
	case st == stateOpen:
		return onData(h.Flags), violationNone
	case st == stateRemoteClosed:
		return actFail, violationClosed
	}
	return actReject, violationInactive // idle, or unary: the call goes on (B38)
}

// onOversized changes what a frame asks for into what becomes of it if its
// data is over the limit (B7).
func onOversized(act action) action {
	switch act {
	case actOpen:
		return actReject
	case actMessage, actLast, actClose, actEnd:
		return actFail
	}
	return act
}

// onData decides what a data frame brings to an open stream (B39).
func onData(flags uint8) action {
	switch flags & (flagRemoteClosed | flagNoData) {
	case flagRemoteClosed | flagNoData:
		return actClose
	case flagRemoteClosed:
		return actLast
	case flagNoData:
		return actIgnore
	}
	return actMessage
}

// onSend decides whether a message or half-close of the user's is written.
// Nothing is, without an error, once the peer has ended the stream: how it
// ended is for RecvMsg to say.
func onSend(st streamState, halfClosed bool) (write bool, err error) {
	if halfClosed {
		return false, ErrStreamClosed
	}
	return st != stateIdle && st != stateEnded, nil
}

// acceptedState is the state in which a request with these flags opens a
// stream at the server (B36).
func acceptedState(flags uint8) streamState {
	switch {
	case flags&flagRemoteOpen != 0:
		return stateOpen
	case flags&flagRemoteClosed != 0:
		return stateRemoteClosed
	}
	return stateUnary
}

// A stream is one call, unary or streaming, at either end: its entry in the
// connection's table and the queue of what was received for it.
type stream struct {
	// Immutable once the stream is in the table.
	conn *conn
	done chan struct{} // a client's unary call: holds one token once result is set
	call callee        // if the peer opened it, else nil
	more any           // what a mode adds, or nil; guarded by conn.mu where it says so

	streams bool // the server may send data
	unary   bool // there is no inbox; a server's handler may find that one is needed

	// Guarded by conn.mu.
	state      streamState
	halfClosed bool // we sent our half-close
	inARow     bool // a message was sent before
	passed     bool // a frame with extras has left
	answered   bool // the handler has returned, whose answer has still to come
	callsBack  bool // a handler of one of the peer's calls opens it, and the peer has said goodbye
	id         uint32
	opening    *frame        // the request, until the writer takes it
	queued     siblings      // what the writer has not taken
	opened     time.Duration // when, as now has it
	sent       Volume
	received   Volume
	waiting    sync.Cond // a sender waits for the writer; its lock is conn.mu

	unwatch func() bool // stops to watch the context of a client's stream

	about *about // of a stream that this end opened

	// result and err are a unary call's outcome. They are set before the
	// token is put into done, and then belong to the caller.
	result *frame
	err    error

	inbox *inbox // nil of a unary call
}

func (s *stream) init(c *conn) {
	s.conn = c
	s.waiting.L = &c.mu
}

// makeInbox has the stream take messages.
func (s *stream) makeInbox() {
	s.inbox = new(inbox)
	s.inbox.init(s.conn)
}

// expects returns the state that decides what may be received, and whether the server
// may send data. A nil stream, which is in no table, is idle. conn.mu must be held.
func (s *stream) expects() (st streamState, streams bool) {
	if s == nil {
		return stateIdle, false
	}
	return s.state, s.streams
}

// A siblings is the frames of one stream in the queue of its connection, in their order, so
// that to withdraw them costs no more than they are.
type siblings struct{ first, last *frame }

func (q *siblings) push(f *frame) {
	if q.first == nil {
		q.first = f
	} else {
		q.last.sibling = f
	}
	q.last = f
}

// remove takes f out. Of all but a few it is the first.
func (q *siblings) remove(f *frame) {
	var before *frame
	for at := q.first; at != f; at = at.sibling {
		before = at
	}
	if before == nil {
		q.first = f.sibling
	} else {
		before.sibling = f.sibling
	}
	if q.last == f {
		q.last = before
	}
	f.sibling = nil
}

// pushedLocked implements [frameOwner].
func (s *stream) pushedLocked(f *frame) { s.queued.push(f) }

// tookLocked implements [frameOwner].
func (s *stream) tookLocked(f *frame) {
	s.queued.remove(f)
	if s.opening == f {
		s.opening = nil
	}
	s.passed = s.passed || f.writes()
	s.waiting.Broadcast()
}

// isActive tells whether the stream can still end. conn.mu must be held.
func (s *stream) isActive() bool { return s.state != stateIdle && s.state != stateEnded }
