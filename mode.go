// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/status"
)

// What a connection does beyond classic ttrpc is a mode, and this file is the one door to
// it. Classic code calls these interfaces where conn.mode or the like is not nil, and
// knows nothing else of the mode. What implements them is reachable only from options, and
// from functions that are of no use without it, so other programs do not link it.
//
// Of all methods, those whose names end in Locked are called with the connection's mu held.

// A mode is what a connection does beyond classic ttrpc once both ends have agreed on it.
type mode interface {
	modeStreams
	modeReading
	modeWriting

	// expectsLocked tells whether a request has come in part, so that the connection is
	// not idle.
	expectsLocked() bool

	// asStatus is the function asStatus: errors are statuses.
	asStatus(err, ended error) error

	// gaveUp is the error of a call whose caller's context has ended.
	gaveUp(ctx context.Context) error

	// newLapse returns a context that ends with base, at the deadline if that is not zero, or
	// when the caller says so.
	newLapse(base context.Context, deadline time.Time) lapse

	// settledLocked is called, again and again, when the connection is draining and what
	// had arrived before was read.
	settledLocked()

	// droppedLocked is called when nothing more is written: the peer is lost, or the
	// connection has ended.
	droppedLocked()
}

// A lapse is a context that can be ended with an error. The first stands.
type lapse interface {
	context.Context
	end(err error)
}

// modeStreams is what a mode has to do with the table of streams.
type modeStreams interface {
	// mayOpenLocked says why this end may not open the stream.
	mayOpenLocked(*stream) error

	// callsBack tells whether a call with this context is made by the handler of one of the
	// connection's calls.
	callsBack(ctx context.Context) bool

	// mayAcceptLocked says why the peer may open none now with the request.
	mayAcceptLocked(request *frame) *status.Status

	// turnAwayLocked is conn.turnAwayLocked.
	turnAwayLocked(id uint32, st *status.Status)

	// turnedAway returns the error of a call that the peer has refused with an answer, so
	// that it was certainly not executed, else nil.
	turnedAway(answer *frame) error

	// mayStreamLocked says why there may be no more streams, like one with a request
	// with these flags.
	mayStreamLocked(request *frame, flags uint8) *status.Status

	// tookRequestLocked is called when the stream's request is held no more, or was
	// never held as a message.
	tookRequestLocked(*stream)

	// addedLocked is called when a stream has come into the table, and when one that
	// looked like a unary call turns out to be none.
	addedLocked(*stream)

	// failingLocked is called before a stream is failed with err.
	failingLocked(s *stream, err error)

	// freedLocked is called when what a stream held of received messages is given back.
	// If it has left the table, gone is set, and what it has not sent is withdrawn.
	freedLocked(s *stream, gone bool)

	// parkLocked reports whether it keeps an accepted call, to be served later.
	parkLocked(*stream) bool

	// beginCall is called before the handler of an accepted call runs.
	beginCall(*stream)
}

// modeReading is what a mode has to do with frames that arrive.
type modeReading interface {
	// judgeLocked is conn.judgeLocked.
	judgeLocked(s *stream, f *frame, big *OversizedMessageErr) (action, violation, error)

	// receiveLocked handles a frame of a type that classic ttrpc does not have, which it
	// then owns. It unlocks.
	receiveLocked(*frame)

	// tookAllLocked is called when the reader, woken for it, has taken what had arrived.
	tookAllLocked()

	// consumed is called when the stream's receiver has taken a message, or when it was
	// dropped because nobody takes it any more.
	consumed(s *stream, f *frame)
}

// modeWriting is what a mode has to do with frames that leave.
type modeWriting interface {
	// awaitLocked waits until a frame may be queued, or the stream ends. It reports
	// false if the bound has come before.
	awaitLocked(*stream, *frame, *bound) bool

	// pushLocked is conn.pushLocked for a frame of a stream.
	pushLocked(s *stream, f *frame) (lead bool)

	// replyLocked is conn.replyLocked.
	replyLocked(id uint32, st *status.Status)

	// queuedLocked tells whether frames wait beside those of conn.out.
	queuedLocked() bool

	// isPlainLocked tells whether the first frame of conn.out is the next to leave, in
	// one write like any other.
	isPlainLocked() bool

	// nextLocked takes what leaves in the next write from the queues: one frame, or a
	// batch of size bytes. What was returned before has been written. Nothing leaves once
	// the connection is closed or lost.
	nextLocked() (one *frame, batch frameQueue, size int)
}

// An extension makes the mode. Options put it into a connection's configuration.
type extension interface {
	// start is called before a connection is read.
	start(*conn)

	// offeredLocked is called with the server's first request. It reports whether that
	// asked for the mode, and then it has answered.
	offeredLocked(c *conn, request *frame) bool

	// ask asks the server for the mode, by a call. It returns when it is known what the peer
	// can do. (The type of who calls would have the linker keep it in every server.)
	ask(c *conn, call func(ctx context.Context, service, method string, request *frame) (*frame, error))

	// answeredLocked is called with the server's answer to the client's first call.
	answeredLocked(c *conn, answer *frame)

	// following returns what makes the mode of a connection that takes the place of one
	// which has ended, with that cause or nil.
	following(cause error) extension

	// newUser makes the *Client that calls the peer of a server's connection. (The type
	// would have the linker keep its methods in every server.)
	newUser(*conn) any
}

// A contextExtras is what a function like WithFiles puts into the context of a call.
type contextExtras interface {
	// begin returns them for a call that is now made, or why it may not be.
	begin() (callerExtras, error)
}

// A callerExtras is what a call has of its context's extras.
type callerExtras interface {
	// attempt returns them for one of the attempts that interceptors make.
	attempt() callerExtras

	// attach gives a request what is to leave with it, at each attempt.
	attach(c *conn, request *frame) error

	// received takes from an answer what came with it. If there are interceptors the answer
	// has become the response into, else that is nil.
	received(answer *frame, into *Response)

	// returned is called with the response that the interceptors have returned.
	returned(*Response)

	// end is called when the call has returned, or the stream is open.
	end()

	// over returns those of both, for an interceptor and its caller, who may have none.
	over(callers callerExtras) callerExtras
}

type extrasKey struct{}

// extrasUsed is set once any context has extras, so that calls of programs without do not
// have to look for them.
var extrasUsed atomic.Bool

// extrasOf returns what the context has for its calls, or nil.
func extrasOf(ctx context.Context) contextExtras {
	if !extrasUsed.Load() {
		return nil
	}
	return findExtras(ctx)
}

// findExtras is a call, so that extrasOf, which mostly returns nil, is none.
//
//go:noinline
func findExtras(ctx context.Context) contextExtras {
	extras, _ := ctx.Value(extrasKey{}).(contextExtras)
	return extras
}

// beginExtras begins to use what the context has, for a call that is made with it. It
// returns the context for its interceptors, whose own calls have none of that.
func beginExtras(ctx context.Context) (context.Context, callerExtras, error) {
	extras := extrasOf(ctx)
	if extras == nil {
		return ctx, nil, nil
	}
	begun, err := extras.begin()
	return context.WithValue(ctx, extrasKey{}, nil), begun, err
}

// A callExtras is what the handler of a call has beyond classic ttrpc.
type callExtras interface {
	// leave gives the call's last frame what is to leave with it, or returns another in
	// its place, and drops what the handler has not taken.
	leave(c *conn, last *frame) *frame
}

// An extraMessage is a message that has more than its encoding.
type extraMessage interface {
	// dataFrame returns a sealed data frame with the message.
	dataFrame(*conn) (*frame, error)

	// message returns the message alone.
	message() any

	// received takes from a frame what came beside the message that was decoded. It is
	// called with nil if none was.
	received(*frame)
}
