// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A DetachedStream is a stream that its handler has kept, see [Detach]. SendMsg and
// RecvMsg may run concurrently with each other and with End, but neither with itself.
type DetachedStream struct {
	call *serverCall // immutable

	mu       sync.Mutex
	returned bool                // the handler has
	ended    bool                // by End, or by what the handler returned
	answer   *frame              // End's, until the handler returns
	traced   func(*frame) func() // tells the trace of the end; nil if there is none
}

// A keeper is a *DetachedStream as its call knows it, so that only programs that detach
// streams link what those do.
type keeper interface {
	// isAlone tells whether the stream has outlived its handler.
	isAlone() bool

	// handlerReturned is that of the call.
	handlerReturned(answer *frame, traced func(*frame) func()) *frame
}

type streamKey struct{}

// Value implements context.Context. A serverCall is the context of a stream's handler.
func (call *serverCall) Value(key any) any {
	if _, ok := key.(streamKey); ok {
		return call
	}
	return call.callContext.Value(key)
}

// Detach lets a stream go on after its handler, whose context is ctx, has returned. The
// handler then returns no message and no error, and the stream lasts, without a goroutine
// of its own, until End. If the handler returns anything else, or panics, that ends the
// stream as ever. Interceptors around the handler end with it.
//
// If the connection ends, what has arrived by then can still be received.
//
// Until its end the stream counts for [Limits].Handlers, and Shutdown waits for it. The
// context that the handler was given lasts as long, but not the contexts that interceptors
// have made of it. A stream that is never ended shows in [Server.Snapshot].
//
// The error says that ctx is not that of a stream's handler that still runs, or that the
// stream is detached already.
func Detach(ctx context.Context) (*DetachedStream, error) {
	call, ok := ctx.Value(streamKey{}).(*serverCall)
	if !ok {
		return nil, errors.New("ttrpc: the context is not that of a stream's handler")
	}
	s := &DetachedStream{call: call}
	call.mu.Lock()
	defer call.mu.Unlock()
	if call.kept != nil || call.returned {
		return nil, errors.New("ttrpc: the stream is detached already, or its handler has returned")
	}
	call.kept = s
	return s, nil
}

// Context returns the stream's context. It ends with the stream, or earlier: when the peer
// goes, the caller gives up, or the deadline passes.
func (s *DetachedStream) Context() context.Context { return s.call }

// SendMsg is that of [StreamServer]. After End it returns ErrStreamClosed.
func (s *DetachedStream) SendMsg(m any) error {
	if s.hasEnded() {
		return s.call.told(ErrStreamClosed)
	}
	return s.call.SendMsg(m)
}

// RecvMsg is that of [StreamServer]. After End it returns ErrStreamClosed.
func (s *DetachedStream) RecvMsg(m any) error {
	if s.hasEnded() {
		return s.call.told(ErrStreamClosed)
	}
	return s.call.RecvMsg(m)
}

// End ends the stream: with err, or with success if err is nil. m is the answer if the
// server does not stream; if it does, m must be nil. If m cannot be encoded, the client
// gets that as an error. If the handler still runs, the stream ends when it returns,
// whatever it returns.
//
// End returns what ended the stream before, if anything did: ErrStreamClosed if that was
// End or the handler. If m is a message where none belongs, it returns an error that wraps
// ErrProtocol, and the stream goes on.
func (s *DetachedStream) End(m any, err error) error {
	call := s.call
	if err == nil && !isNil(m) && call.streamMethod.endsWithClose(m) {
		return call.told(fmt.Errorf("%w: a server that streams ends without a message", ErrProtocol))
	}
	answer := call.answer(m, err)
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		answer.release()
		return call.told(ErrStreamClosed)
	}
	s.ended = true
	returned, traced := s.returned, s.traced
	if !returned {
		s.answer = answer
	}
	s.mu.Unlock()
	before := call.endedBefore()
	if returned {
		if traced != nil {
			defer traced(answer)()
		}
		call.finish(answer)
	}
	return call.told(before)
}

// endedBefore returns what has ended the stream before its handler has.
func (call *serverCall) endedBefore() error {
	call.conn.mu.Lock()
	err := call.err
	call.conn.mu.Unlock()
	return err
}

func (s *DetachedStream) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// isAlone implements [keeper].
func (s *DetachedStream) isAlone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.returned && !s.ended
}

// handlerReturned is called when the stream's handler has returned, with the answer or,
// if it has left that to what it kept, nil. It returns the answer that ends the stream now,
// nil if the stream goes on.
func (call *serverCall) handlerReturned(answer *frame, traced func(*frame) func()) *frame {
	call.mu.Lock()
	call.returned = true
	kept := call.kept
	call.mu.Unlock()
	if kept == nil {
		return answer
	}
	call.turn.end()
	return kept.handlerReturned(answer, traced)
}

// handlerReturned implements [keeper].
func (s *DetachedStream) handlerReturned(answer *frame, traced func(*frame) func()) *frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returned, s.traced = true, traced
	switch {
	case s.ended:
		answer.release()
		answer, s.answer = s.answer, nil
	case answer != nil:
		s.ended = true
	}
	return answer
}

// isKept tells whether the stream's handler has kept it.
func (call *serverCall) isKept() bool {
	call.mu.Lock()
	kept := call.kept
	call.mu.Unlock()
	return kept != nil
}
