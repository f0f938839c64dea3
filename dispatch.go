// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A dispatcher runs calls: it finds their handlers, runs these inside the
// interceptors, and sends what they return.
type dispatcher struct {
	services       services
	unknown        func(*serverCall, requestView) bool // finds what services has not, or nil
	unary          UnaryServerInterceptor              // nil if there is none
	stream         StreamServerInterceptor             // nil if there is none
	defaultTimeout time.Duration                       // for unary calls without one; 0 means none
	recovered      recoverer                           // of panics in handlers, or nil if they go on
	log            Logger
}

// run runs one call to its end.
func (d *dispatcher) run(call *serverCall) {
	var answer *frame
	returned := false
	var end func(*frame) func()
	if t := call.conn.cfg.trace; t != nil {
		end = t.(callTracer).servedBegins(d, call)
	}
	defer func() {
		if call.began != 0 {
			took := now() - call.began
			call.stalls = took >= stall
			call.method.learn(took)
		}
		// Without the option a panic goes on; with it, or after
		// runtime.Goexit, the caller gets an answer (B31).
		if !returned {
			answer = call.answer(nil, d.notReturned(call, recover()))
		}
		call.request.release()
		if call.streamMethod != nil {
			if answer = call.handlerReturned(answer, end); answer == nil {
				return
			}
		}
		if end != nil {
			defer end(answer)()
		}
		call.finish(answer)
	}()
	result, err := d.dispatch(call)
	switch {
	case err != nil && call.streamMethod == nil && end == nil && call.endedBefore() != nil: // it was answered
	case call.streamMethod == nil || err != nil || !isNil(result) || !call.isKept():
		answer = call.answer(result, err)
	}
	returned = true
}

// notReturned is the error of a handler that has panicked, or has ended its
// goroutine if panicked is nil.
func (d *dispatcher) notReturned(call *serverCall, panicked any) error {
	switch {
	case panicked == nil:
		return status.Error(codes.Internal, "ttrpc: the handler ended its goroutine")
	case d.recovered == nil:
		panic(panicked) // with the handler still on the stack
	}
	return d.recovered.panicked(d, call, panicked)
}

// route decodes a call's envelope and finds its handler, unless that was done.
func (d *dispatcher) route(call *serverCall) error {
	if !call.routed {
		call.routed = true
		call.failed = d.find(call)
	}
	return call.failed
}

func (d *dispatcher) find(call *serverCall) error {
	call.request.join()
	v, err := parseRequest(call.request.data)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "unmarshal request error: %v", err)
	}
	call.method, call.streamMethod, err = d.services.find(v.service, v.method)
	call.known = err == nil
	if err != nil && (d.unknown == nil || !d.unknown(call, v)) {
		return err
	}
	call.payload, call.metadata = v.payload, v.metadata
	if m := call.conn.mode; m != nil {
		m.beginCall(&call.stream)
	}
	timeout := time.Duration(v.timeoutNano)
	if timeout == 0 && call.method != nil {
		timeout = max(d.defaultTimeout, 0)
	}
	if timeout != 0 {
		from := call.arrived
		if from.IsZero() {
			from = time.Now()
		}
		call.deadline = from.Add(timeout)
	}
	if call.method != nil { // a snapshot may read the deadline from now on
		call.fullName.Store(&call.method.info.FullMethod)
	} else {
		call.fullName.Store(&call.streamMethod.info.FullMethod)
	}
	return nil
}

func (d *dispatcher) dispatch(call *serverCall) (any, error) {
	switch err := d.route(call); {
	case err != nil:
		return nil, err
	case call.parked && !call.deadline.IsZero() && !time.Now().Before(call.deadline):
		return nil, context.DeadlineExceeded
	case call.method != nil:
		return d.callUnary(call, call.method)
	}
	return d.callStream(call, call.streamMethod)
}

func (d *dispatcher) callUnary(call *serverCall, m *unaryMethod) (any, error) {
	if !call.unary { // a stream, to its client
		if call.conn.mode != nil && call.request.header.Flags&flagNoData != 0 {
			return nil, status.Errorf(codes.Unimplemented, "method %s is unary", m.info.FullMethod)
		}
		call.inbox.start(nil)
		call.closeRemote()
	}
	if call.turn.isHere() || !m.mayRunHere(quickAmong) {
		call.began = now()
	}
	r := decoders.Get().(*requestDecoder)
	r.codec, r.frame, r.payload = call.conn.cfg.codec, call.request, call.payload
	defer r.release()
	if d.unary != nil {
		handle := m.handle
		if d.recovered != nil {
			handle = d.recovered.unary(d, call, handle)
		}
		return d.unary(&call.callContext, r.decode, &m.info, handle)
	}
	return m.handle(&call.callContext, r.decode)
}

func (d *dispatcher) callStream(call *serverCall, s *streamMethod) (any, error) {
	payload := call.payload
	first, flags := call.request, call.request.header.Flags
	open := s.info.StreamingClient && acceptedState(flags) == stateOpen
	// The request's payload is the first message, and the only one if the
	// client does not stream, even if it is empty (B40).
	hasFirst := !s.info.StreamingClient || len(payload) > 0 && flags&flagNoData == 0
	if err := call.becomeStream(hasFirst); err != nil {
		return nil, err
	}
	call.request = nil
	if call.conn.ch.kind == socketConn {
		call.turn = turn{conn: call.conn, stream: &call.stream}
	}
	if hasFirst {
		first.data = first.data[:copy(first.data, payload)]
	} else {
		first.release()
		first = nil
	}
	call.inbox.start(first)
	if !open {
		call.closeRemote()
	}
	if !call.deadline.IsZero() || call.base.Done() != nil {
		stop := context.AfterFunc(&call.callContext, call.contextEnded)
		defer func() {
			if !call.isKept() {
				stop()
			}
		}()
	}
	if d.stream != nil {
		handle := s.handle
		if d.recovered != nil {
			handle = d.recovered.stream(d, call, handle)
		}
		return d.stream(call, call, &s.info, handle)
	}
	return s.handle(call, call)
}

// answer makes the terminal frame of what the handler returned.
func (call *serverCall) answer(result any, err error) *frame {
	limit := call.conn.messageLimit()
	if err == nil && call.streamMethod != nil && call.streamMethod.endsWithClose(result) {
		return closeFrame(call.id)
	}
	if err == nil && call.streamMethod == nil && isNil(result) {
		err = status.Error(codes.Unknown, "ttrpc: marshal called with nil")
	}
	if err == nil {
		f, failed := call.conn.cfg.codec.resultFrame(call.id, result, limit)
		if failed == nil {
			return f
		}
		err = encodeError(result, failed)
		if big, ok := err.(*OversizedMessageErr); ok {
			err = big.err // B8
		}
	}
	f := responseFrame(call.id, StatusOf(err).Proto())
	if n := len(f.data) - messageHeaderLength; n > limit {
		f.release()
		f = responseFrame(call.id, StatusOf(oversized(n, limit).err).Proto())
	}
	return f
}

// closeRemote takes note that the client has no more to send.
func (call *serverCall) closeRemote() {
	c, s := call.conn, &call.stream
	c.mu.Lock()
	if s.state == stateOpen {
		s.state = stateRemoteClosed
	}
	c.unlock()
	s.inbox.close(io.EOF, false)
}

// contextEnded ends a stream when its deadline passes, whatever its handler
// does. If it is Serve's context that has ended, the handler is told.
func (call *serverCall) contextEnded() {
	if err := call.Err(); err == context.DeadlineExceeded {
		call.conn.fail(&call.stream, err)
	} else {
		call.contextGone(err)
		call.rouseReceiver()
	}
}

// A requestDecoder has the function that a Method decodes its request with. It is
// pooled, because a function with data of its own is an allocation.
type requestDecoder struct {
	codec   codec
	frame   *frame // that payload is part of
	payload []byte
	decode  func(any) error
}

var decoders = sync.Pool{New: func() any {
	r := new(requestDecoder)
	r.decode = func(msg any) error { return r.codec.decodeRequest(r.frame, r.payload, msg) }
	return r
}}

func (r *requestDecoder) release() {
	r.frame, r.payload = nil, nil
	decoders.Put(r)
}

// decodeRequest is decode of what a client sent. The errors are the statuses that a
// handler passes on (B10).
func (c codec) decodeRequest(f *frame, b []byte, msg any) error {
	err := c.decode(f, b, msg)
	if err == nil {
		return nil
	}
	if _, ok := err.(*typeError); ok {
		return status.Errorf(codes.Internal, "ttrpc: error unsupported request type: %s", typeName(msg))
	}
	return status.Errorf(codes.Internal, "ttrpc: error unmarshalling payload: %v", err)
}

// encodeError is the status of an answer that could not be encoded (B10).
func encodeError(msg any, err error) error {
	switch err.(type) {
	case *OversizedMessageErr:
		return err
	case *typeError:
		return status.Errorf(codes.Internal, "ttrpc: error unsupported response type: %s", typeName(msg))
	}
	return status.Errorf(codes.Internal, "ttrpc: error marshaling payload: %v", err)
}
