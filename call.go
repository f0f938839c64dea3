// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// A serverCall is one call, unary or streaming, that a server runs.
type serverCall struct {
	stream
	callContext
	request *frame // the worker's

	arrived time.Time // when it came, if route does not follow at once; else zero

	counted codes.Code // what its answer was counted as; guarded by conn.mu

	parked bool // it waited for the peer to read
	soon   bool // the reader may look at it, to see if it can run it
	waits  bool // it does; guarded by conn.mu
	stalls bool // the handler took so long that a reader in whose place it ran has kept others waiting

	// Set by route.
	routed       bool
	known        bool                   // the method is registered
	failed       error                  // what is wrong with the request, or nil
	fullName     atomic.Pointer[string] // "/service/method"; nil until it is known, and the deadline is
	method       *unaryMethod
	streamMethod *streamMethod
	payload      []byte

	began time.Duration // when the handler began, if its method is to learn how long it takes

	// Guarded by mu.
	kept     keeper // what a stream's handler keeps, or nil
	returned bool   // the handler has, and keeps no more
}

// newServerCall makes the call of a request frame, which it then owns.
func newServerCall(c *conn, request *frame) *serverCall {
	call := &serverCall{request: request}
	call.stream.init(c)
	call.stream.call = call
	call.id = request.header.StreamID
	call.state = acceptedState(request.header.Flags)
	if call.unary = call.state == stateUnary; !call.unary {
		call.makeInbox()
		call.inbox.expect(request.cost())
	}
	call.base, call.of, call.toldLate = c.base, call, c.mode != nil
	return call
}

// arrives takes note that the call waits before it is routed: its timeout counts from here.
func (call *serverCall) arrives() {
	if call.arrived.IsZero() && !call.routed {
		call.arrived = time.Now()
	}
}

// isSmall tells whether the reader may run a call.
func (call *serverCall) isSmall() bool {
	return call.unary && call.request.header.Length <= maxQuickRequest
}

// finish sends the terminal frame, which it then owns, unless the stream got
// one already, and frees the id. A nil frame means that there is nothing to
// say.
func (call *serverCall) finish(f *frame) {
	extras := call.cancel(context.Canceled)
	c, s := call.conn, &call.stream
	if !s.unary {
		call.inbox.close(context.Canceled, true)
	}
	if extras != nil {
		f = extras.leave(c, f)
	}
	c.mu.Lock()
	if c.mode != nil && f != nil {
		c.mode.awaitLocked(s, f, nil)
	}
	active := s.isActive() && !c.closed && c.lost == nil
	if s.isActive() && f != nil {
		h, _ := parseHeader(f.data)
		call.counted = c.servedLocked().addAnswer(h.Type, f.data[messageHeaderLength:])
	}
	if s.state != stateIdle {
		c.removeLocked(s)
	}
	if !active {
		c.unlock()
		f.release()
		return
	}
	if c.pushAnswerLocked(call, f) {
		c.unlockAndLead(0, true)
		return
	}
	c.unlock()
}

// responseFrame returns a sealed response that carries a status.
func responseFrame(id uint32, st *spb.Status) *frame {
	b, err := marshalStatus(st)
	if err != nil { // text that is not UTF-8, most likely
		b, _ = marshalStatus(&spb.Status{Code: int32(codes.Internal), Message: "ttrpc: error marshalling status: " + err.Error()})
	}
	f := newOutFrame(sizeResponse(b, 0))
	f.data = appendResponseFront(f.data, b, 0)
	f.seal(messageHeader{StreamID: id, Type: messageTypeResponse})
	return f
}

// resultFrame returns a sealed response that carries a message; nil makes an
// empty one.
func (c codec) resultFrame(id uint32, msg any, limit int) (*frame, error) {
	p, err := c.measureOrNil(msg)
	if err != nil {
		return nil, err
	}
	size := sizeResponse(nil, p.size)
	if size > limit {
		return nil, oversized(size, limit)
	}
	f := newOutFrame(size)
	if f.data, err = p.append(appendResponseFront(f.data, nil, p.size)); err != nil {
		return nil, err
	}
	f.seal(messageHeader{StreamID: id, Type: messageTypeResponse})
	return f, nil
}

// becomeStream takes note that the handler is a stream's, whatever the caller thinks, and
// whether the request is its first message. It returns an error if there may be no such
// stream.
func (call *serverCall) becomeStream(hasFirst bool) error {
	c := call.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.unary {
		if c.mode != nil && call.isActive() {
			if st := c.mode.mayStreamLocked(call.request, flagRemoteClosed); st != nil {
				return st.Err()
			}
		}
		call.unary = false
		call.makeInbox()
		switch {
		case c.closed:
			call.inbox.close(context.Canceled, true)
		case !call.isActive():
			call.inbox.close(call.err, true)
		}
		if c.mode != nil && call.isActive() {
			c.mode.addedLocked(&call.stream)
		}
	}
	if c.mode != nil && !hasFirst {
		c.mode.tookRequestLocked(&call.stream)
	}
	return nil
}

// dataFrame returns a sealed data frame that carries a message; nil makes an
// empty one.
func (c codec) dataFrame(msg any, limit int) (*frame, error) {
	p, err := c.measureOrNil(msg)
	if err != nil {
		return nil, err
	}
	if p.size > limit {
		return nil, oversized(p.size, limit)
	}
	f := newOutFrame(p.size)
	if f.data, err = p.append(f.data); err != nil {
		return nil, err
	}
	f.seal(messageHeader{Type: messageTypeData})
	return f, nil
}

// closeFrame returns a sealed frame that closes the sender's side.
func closeFrame(id uint32) *frame {
	f := newOutFrame(0)
	f.seal(messageHeader{StreamID: id, Type: messageTypeData, Flags: flagRemoteClosed | flagNoData})
	return f
}

type callKey struct{}

// A callContext is a handler's context. What most handlers do not use, a
// channel and a timer, is made when it is first asked for.
type callContext struct {
	// Set before the handler runs.
	of       *serverCall
	base     context.Context
	metadata MD
	deadline time.Time // zero if there is none
	toldLate bool      // the caller may tell that its deadline has passed
	turn     turn      // if the handler runs in the reader's place

	mu      sync.Mutex
	ended   error           // the cause, once the call has ended
	inner   context.Context // has the channel and the timer
	cancels [2]func()
	lapse   lapse      // has the timer instead of inner if toldLate
	extras  callExtras // nil if nobody asked for any and none came
}

// cancel ends the context. The first cause stands. It returns the call's extras.
func (x *callContext) cancel(cause error) callExtras {
	x.mu.Lock()
	if x.ended == nil {
		x.ended = cause
	}
	x.cancelInnerLocked()
	extras := x.extras
	x.mu.Unlock()
	return extras
}

func (x *callContext) cancelInnerLocked() {
	switch {
	case x.inner == nil || x.ended == nil:
	case x.ended != context.DeadlineExceeded:
		x.cancels[0]()
		x.cancels[1]()
	case x.lapse != nil:
		x.lapse.end(context.DeadlineExceeded)
	}
	// Else the deadline has passed, and its timer ends inner with the right error.
}

func (x *callContext) innerLocked() context.Context {
	if x.inner != nil {
		return x.inner
	}
	deadline := x.deadline
	if x.ended != nil && x.ended != context.DeadlineExceeded {
		deadline = time.Time{} // it ended before
	}
	base := x.base
	x.cancels[1] = func() {}
	if x.toldLate {
		x.lapse = x.of.conn.mode.newLapse(base, deadline)
		x.cancels[1] = func() { x.lapse.end(context.Canceled) }
		base = x.lapse
	}
	ctx, cancelCause := context.WithCancelCause(base)
	x.cancels[0] = func() { cancelCause(x.ended) }
	if x.lapse == nil && !deadline.IsZero() {
		ctx, x.cancels[1] = context.WithDeadline(ctx, deadline)
	}
	x.inner = ctx
	x.cancelInnerLocked()
	return ctx
}

// String keeps fmt from reading the fields, which others may be writing.
func (x *callContext) String() string { return "ttrpc call" }

// Deadline implements context.Context.
func (x *callContext) Deadline() (time.Time, bool) {
	t, ok := x.base.Deadline()
	if x.deadline.IsZero() || ok && t.Before(x.deadline) {
		return t, ok
	}
	return x.deadline, true
}

// Done implements context.Context. Who asks for the channel is about to wait.
func (x *callContext) Done() <-chan struct{} {
	x.turn.end()
	x.mu.Lock()
	inner := x.innerLocked()
	x.mu.Unlock()
	return inner.Done()
}

// Err implements context.Context.
func (x *callContext) Err() error {
	over := x.base.Err()
	if over == nil && !x.deadline.IsZero() && !time.Now().Before(x.deadline) {
		over = context.DeadlineExceeded
	}
	x.mu.Lock()
	if x.inner == nil && x.ended == nil && over == nil {
		x.mu.Unlock()
		return nil
	}
	inner := x.innerLocked()
	if over != nil && x.ended == nil && x.lapse != nil {
		x.lapse.end(over) // what is to do that may not be that far
	}
	x.mu.Unlock()
	return inner.Err()
}

// Value implements context.Context.
func (x *callContext) Value(key any) any {
	switch key.(type) {
	case metadataKey:
		if x.metadata != nil {
			return x.metadata
		}
	case callKey:
		return x
	}
	x.mu.Lock()
	ctx := x.inner
	if ctx == nil && x.ended != nil {
		ctx = x.innerLocked() // context.Cause is asking
	}
	x.mu.Unlock()
	if ctx == nil {
		ctx = x.base
	}
	return ctx.Value(key)
}
