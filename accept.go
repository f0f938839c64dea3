// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A host answers the calls of the peer. It is an interface so that only programs with a
// server link what accepts and runs calls.
type host interface {
	// acceptLocked opens a stream of the peer's for a request, which it then owns, or says
	// why not. It unlocks, and reports whether the goroutine still is the reader.
	acceptLocked(c *conn, f *frame) (reads bool)

	// rejectLocked answers a frame for the stream s, nil if there is none, that must not be.
	rejectLocked(c *conn, s *stream, f *frame, why violation, big *OversizedMessageErr)
}

// A callee is a serverCall, as its stream knows it.
type callee interface {
	// failLocked is conn.failLocked. Classic ttrpc tells the peer by the stream's terminal
	// frame (B40); the entry then stays until the handler has returned.
	failLocked(err error)

	// connEnded is stream.connEnded.
	connEnded(cause error)

	// isDetached tells whether the stream has outlived its handler.
	isDetached() bool

	// endsAt is the deadline, once that is known; zero if there is none.
	endsAt() time.Time

	// fullMethod is stream.fullMethod.
	fullMethod() string

	// pace is stream.pace.
	pace() *pace
}

// A serveFunc is a host that has a function run the calls. The function reports whether
// the goroutine, the reader's, still is the reader.
type serveFunc func(*serverCall) (reads bool)

// acceptLocked implements [host].
func (serve serveFunc) acceptLocked(c *conn, f *frame) bool {
	limit := c.hooks.maxHandlers
	switch {
	case c.draining && c.settled && c.mode == nil:
		c.replyLocked(f.header.StreamID, status.New(codes.Unavailable, ErrServerClosed.Error()))
	case limit > 0 && c.accepted >= limit:
		c.turnAwayLocked(f.header.StreamID, tooManyCalls(limit))
	case c.mode != nil && c.mode.mayAcceptLocked(f) != nil:
		c.turnAwayLocked(f.header.StreamID, c.mode.mayAcceptLocked(f))
	case c.opensWithRoomLocked(f):
		call := newServerCall(c, f)
		call.opened = c.clockLocked()
		call.soon = c.strainsLocked(call)
		call.stream.received.add(f.header.Flags, f.size(), 1)
		c.addLocked(&call.stream)
		parked := c.mode != nil && c.mode.parkLocked(&call.stream)
		c.unlock()
		return parked || serve(call)
	}
	c.servedLocked().Refused++
	c.unlock()
	f.release()
	return true
}

// rejectLocked implements [host].
func (serveFunc) rejectLocked(c *conn, s *stream, f *frame, why violation, big *OversizedMessageErr) {
	c.rejectLocked(s, f, why, big)
}

// turnAwayLocked is replyLocked for a call that is not run.
func (c *conn) turnAwayLocked(id uint32, st *status.Status) {
	if c.mode != nil {
		c.mode.turnAwayLocked(id, st)
		return
	}
	c.replyLocked(id, st)
}

func tooManyCalls(limit int) *status.Status {
	return status.Newf(codes.ResourceExhausted, "ttrpc: more than %d concurrent calls on the connection", limit)
}

// opensWithRoomLocked makes room for the request of a stream, for which it lets go
// of the lock. It reports whether the connection lasts.
func (c *conn) opensWithRoomLocked(f *frame) bool {
	if c.mode == nil && acceptedState(f.header.Flags) != stateUnary && c.isOverCap(f.cost()) {
		c.mu.Unlock()
		c.makeRoom(f.cost())
		c.mu.Lock()
	}
	return !c.closed
}

// rejectLocked is what all hosts' rejectLocked does.
func (c *conn) rejectLocked(s *stream, f *frame, why violation, big *OversizedMessageErr) {
	c.replyLocked(f.header.StreamID, rejection(why, big))
	if s != nil && s.state == stateUnary && f.header.Type == messageTypeData {
		s.state = stateWarned
	}
}

// rejection is what the peer gets for a frame that touches no stream. What is
// wrong with the id is said even of a frame that is too large.
func rejection(why violation, big *OversizedMessageErr) *status.Status {
	if big != nil && why != violationEvenID {
		return StatusOf(big.err)
	}
	return status.New(codes.InvalidArgument, string(why))
}

// failLocked implements [callee].
func (call *serverCall) failLocked(err error) {
	c, s := call.conn, &call.stream
	s.state = stateEnded
	st := StatusOf(err)
	if err == ErrStreamFull {
		st = status.New(codes.ResourceExhausted, err.Error())
	}
	c.replyLocked(s.id, st)
	s.waiting.Broadcast()
	call.cancel(err)
	s.inbox.close(err, true)
	c.rouseReceiverLocked(s)
	if c.mode != nil {
		c.mode.freedLocked(s, false)
	}
}

// connEnded implements [callee].
func (call *serverCall) connEnded(cause error) {
	err := context.Canceled
	if end := call.endsAt(); !end.IsZero() && !time.Now().Before(end) {
		err, cause = context.DeadlineExceeded, context.DeadlineExceeded
	}
	call.cancel(cause)
	call.contextGone(err)
}

// contextGone has the stream's receiver be told that its context has ended. What a handler has
// kept may outlive that: nobody else can receive what has arrived for it (B72).
func (call *serverCall) contextGone(err error) {
	call.conn.mu.Lock()
	box := call.inbox // which becomeStream may be making
	call.conn.mu.Unlock()
	box.close(err, box == nil || !call.isDetached())
}

// isDetached implements [callee].
func (call *serverCall) isDetached() bool {
	call.mu.Lock()
	kept := call.kept
	call.mu.Unlock()
	return kept != nil && kept.isAlone()
}

// fullMethod implements [callee].
func (call *serverCall) fullMethod() string {
	if name := call.fullName.Load(); name != nil {
		return *name
	}
	return ""
}

// pace implements [callee].
func (call *serverCall) pace() *pace {
	if call.streamMethod == nil {
		return nil
	}
	return &call.streamMethod.pace
}

// endsAt implements [callee].
func (call *serverCall) endsAt() time.Time {
	if call.fullName.Load() == nil {
		return time.Time{}
	}
	return call.deadline
}
