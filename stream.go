// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sync"
	"sync/atomic"
	"time"
)

// role is which end of a connection this is.
type role uint8

const (
	roleClient role = iota // opens streams, with odd ids
	roleServer             // accepts them
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
	if r == roleServer {
		return onServerReceive(st, h)
	}
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

func onServerReceive(st streamState, h messageHeader) (action, violation) {
	switch {
	case h.StreamID%2 == 0:
		return actReject, violationEvenID // whatever the type (B37)
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
	conn    *conn
	streams bool          // the server may send data
	unary   bool          // the inbox is not used; a server's handler may find that it is
	done    chan struct{} // a client's unary call: holds one token once result is set
	call    *serverCall   // at the server, else nil

	// Guarded by conn.mu.
	id         uint32
	state      streamState
	halfClosed bool      // we sent our half-close
	inARow     bool      // a message was sent before
	opening    *frame    // the request, until the writer takes it
	waiting    sync.Cond // a sender waits for the writer; its lock is conn.mu

	unwatch func() bool // stops to watch the context of a client's stream

	// result and err are a unary call's outcome. They are set before the
	// token is put into done, and then belong to the caller.
	result *frame
	err    error

	inbox inbox
}

func (s *stream) init(c *conn) {
	s.conn = c
	s.waiting.L = &c.mu
	s.inbox.ready.L = &s.inbox.mu
	s.inbox.total = &c.total
}

// isActive tells whether the stream can still end. conn.mu must be held.
func (s *stream) isActive() bool { return s.state != stateIdle && s.state != stateEnded }

// An inbox is the bounded queue of a stream's received messages. The reader
// puts in; when more is in than the bounds allow, the receiver has some time
// to take out, then the stream fails (B41).
type inbox struct {
	mu    sync.Mutex
	ready sync.Cond // something was put in or taken out, or the end is set
	queue frameQueue
	end   error       // what take returns once the queue is empty
	late  *time.Timer // made when the queue is first over its bounds
	timed bool        // late runs
	taken bool        // the receiver took a message since late was started
	begun bool        // the receiver has taken any message
	more  bool        // messages have come after the request

	dropped bool // the stream has failed: nothing is kept
	opening int  // the memory of the request, until start

	// waited is set when the receiver had to wait, so that its next message is
	// likely one that the peer waits for.
	waited atomic.Bool

	// total counts the bytes of all inboxes of the connection, and of the
	// requests that are still to be started; nil once the
	// stream is no longer in the table.
	total *atomic.Int64
}

func (b *inbox) fullLocked(q *StreamQueue) bool {
	return b.queue.count > q.Messages || b.queue.bytes > q.Bytes
}

// countLocked adds n bytes to the connection's total.
func (b *inbox) countLocked(n int) {
	if b.total != nil {
		b.total.Add(int64(n))
	}
}

// put adds a frame to the inbox, which then owns it; it is released if the
// stream has ended. If the receiver stays too slow the stream fails.
func (s *stream) put(f *frame) {
	b, q := &s.inbox, &s.conn.cfg.queue
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end != nil {
		f.release()
		return
	}
	b.queue.push(f)
	b.more = true
	b.countLocked(f.cost())
	if !b.timed && b.fullLocked(q) {
		b.timed, b.taken = true, false
		if b.late == nil {
			b.late = time.AfterFunc(q.Patience, s.checkOverdue)
		} else {
			b.late.Reset(q.Patience)
		}
	}
	b.ready.Broadcast()
}

// checkOverdue fails the stream if its queue has been full for all of the
// receiver's patience and nothing was taken out.
func (s *stream) checkOverdue() {
	if s.inbox.overdue(&s.conn.cfg.queue) {
		s.conn.fail(s, ErrStreamFull)
	}
}

// overdue reports whether the queue is full and nothing was taken out since
// the timer was started. If something was, it starts the timer again.
func (b *inbox) overdue(q *StreamQueue) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timed = b.end == nil && b.fullLocked(q)
	if b.timed && b.taken {
		b.taken = false
		b.late.Reset(q.Patience)
		return false
	}
	return b.timed
}

// expect counts the request, n bytes of memory, until start tells whether it
// has a message.
func (b *inbox) expect(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opening = n
	b.countLocked(n)
}

// start ends what expect began. If the request has a message, it is f, and comes
// before the data that the stream may already hold; else f is nil.
func (b *inbox) start(f *frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.countLocked(-b.opening)
	b.opening = 0
	if f != nil && !b.dropped {
		b.queue.pushFront(f)
		b.countLocked(f.cost())
		f = nil
	}
	f.release()
	b.ready.Broadcast() // for awaitTake, too
}

// take waits for the next message and returns it, or the error with which the
// stream ended.
func (b *inbox) take() (*frame, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.queue.head == nil {
		if b.end != nil {
			return nil, b.end
		}
		b.waited.Store(true)
		b.ready.Wait()
	}
	f := b.queue.pop()
	b.countLocked(-f.cost())
	b.begun, b.taken = true, true
	b.ready.Broadcast() // for awaitTake
	return f, nil
}

// awaitTake waits until the queue is smaller than size, which it was found to
// be, and returns true. It returns false if the receiver has never taken
// anything, though it got more than its request, or nothing is kept for it any
// more.
func (b *inbox) awaitTake(size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.sizeLocked() >= size {
		if !b.begun && b.more || b.dropped || b.total == nil {
			return false
		}
		b.ready.Wait()
	}
	return true
}

// close sets what take returns once the queue is empty. The first error
// stands, except that with discard the queue is dropped and err replaces it.
func (b *inbox) close(err error, discard bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped || b.end != nil && !discard {
		return
	}
	b.end = err
	if discard {
		b.dropped = true
		b.countLocked(-b.sizeLocked())
		b.opening = 0
		b.queue.releaseAll()
	}
	if b.timed {
		b.timed = false
		b.late.Stop()
	}
	b.ready.Broadcast()
}

// uncount takes what is queued out of the connection's total, for good.
func (b *inbox) uncount() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.countLocked(-b.sizeLocked())
	b.total = nil
	b.ready.Broadcast() // for awaitTake
}

// size returns how many bytes of memory count as queued.
func (b *inbox) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sizeLocked()
}

func (b *inbox) sizeLocked() int { return b.queue.bytes + b.opening }
