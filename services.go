// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Method handles a unary call: it decodes the request with unmarshal and
// returns the response message, or an error. Which status an error becomes is
// told in the package documentation. The context ends when the method returns,
// the peer goes, or the caller's deadline passes. It must not leave its goroutine
// locked to an OS thread, except under [WithGoroutinePerCall].
type Method func(ctx context.Context, unmarshal func(any) error) (any, error)

// StreamHandler handles a stream. What it returns ends the stream: an error
// with that status, nil with success. The message that it returns is the
// answer if the server does not stream, and is ignored if it does. The context
// ends as a Method's does, and no thread must stay locked either.
type StreamHandler func(ctx context.Context, stream StreamServer) (any, error)

// Stream describes a streaming method of a service.
type Stream struct {
	Handler         StreamHandler
	StreamingClient bool // the client may send any number of messages, else it sends one
	StreamingServer bool // the server may send any number of messages, else it returns one
}

// ServiceDesc describes a service to [Server.RegisterService].
type ServiceDesc struct {
	Methods map[string]Method // by name, without the service's
	Streams map[string]Stream
}

// A StreamServer is a handler's end of a stream. SendMsg and RecvMsg may run
// concurrently with each other, but neither with itself. They must not be used
// after the handler has returned.
type StreamServer interface {
	// SendMsg sends a message; nil sends an empty one. It returns once the
	// message is encoded and queued, and waits if much is queued. The errors:
	// an *OversizedMessageErr, which sends nothing and leaves the stream as it
	// was; one that wraps ErrProtocol if the server does not stream; that of
	// the encoding; ErrClosed if the connection has ended, or what ended the
	// stream.
	SendMsg(m any) error

	// RecvMsg waits for the client's next message and decodes it into m, whose
	// old content is dropped. It returns io.EOF, as it is, when the client has
	// closed its side; the context's error when that has ended; ErrStreamFull
	// if messages were not taken in time.
	RecvMsg(m any) error
}

// fullPath returns "/service/method".
func fullPath(service, method string) string { return "/" + path.Join(service, method) }

// A unaryMethod is a registered Method with what an interceptor is told.
type unaryMethod struct {
	handle Method
	info   UnaryServerInfo
	took   atomic.Int64 // how long it takes in nanoseconds, on the average; 0 before it ran
}

// isSlower tells whether the method must be expected to take longer than limit.
func (m *unaryMethod) isSlower(limit time.Duration) bool {
	took := m.took.Load()
	return took == 0 || time.Duration(took) > limit
}

// learn takes note of how long the method took. An unusually long time counts at
// once, and is forgotten with the next dozens.
func (m *unaryMethod) learn(took time.Duration) {
	average := m.took.Load()
	if average == 0 {
		average = int64(took)
	}
	m.took.Store(max(1, average+(int64(took)-average)/8))
}

// A streamMethod is a registered Stream with what an interceptor is told.
type streamMethod struct {
	handle StreamHandler
	info   StreamServerInfo
}

type service struct {
	methods map[string]*unaryMethod
	streams map[string]*streamMethod
}

// services is the registry. Look-ups take no lock: the map is replaced.
type services struct {
	mu     sync.Mutex
	byName atomic.Pointer[map[string]*service]
}

// add panics if the name is taken (B28).
func (r *services) add(name string, desc *ServiceDesc) {
	svc := &service{map[string]*unaryMethod{}, map[string]*streamMethod{}}
	for method, handle := range desc.Methods {
		svc.methods[method] = &unaryMethod{handle: handle, info: UnaryServerInfo{fullPath(name, method)}}
	}
	for method, s := range desc.Streams {
		svc.streams[method] = &streamMethod{s.Handler, StreamServerInfo{fullPath(name, method), s.StreamingClient, s.StreamingServer}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]*service{}
	if old := r.byName.Load(); old != nil {
		all = maps.Clone(*old)
	}
	if all[name] != nil {
		panic(fmt.Errorf("duplicate service %v registered", name))
	}
	all[name] = svc
	r.byName.Store(&all)
}

// find returns the method or the stream; the error is the caller's answer.
func (r *services) find(name, method []byte) (*unaryMethod, *streamMethod, error) {
	var svc *service
	if all := r.byName.Load(); all != nil {
		svc = (*all)[string(name)]
	}
	if svc == nil {
		return nil, nil, status.Errorf(codes.Unimplemented, "service %s", name)
	}
	if m := svc.methods[string(method)]; m != nil {
		return m, nil, nil
	}
	if s := svc.streams[string(method)]; s != nil {
		return nil, s, nil
	}
	return nil, nil, status.Errorf(codes.Unimplemented, "method %s", method)
}

// A dispatcher runs calls: it finds their handlers, runs these inside the
// interceptors, and sends what they return.
type dispatcher struct {
	services       services
	unary          UnaryServerInterceptor  // nil if there is none
	stream         StreamServerInterceptor // nil if there is none
	defaultTimeout time.Duration           // for unary calls without one; 0 means none
	recoverPanics  bool
	log            Logger
}

// run runs one call to its end.
func (d *dispatcher) run(call *serverCall) {
	var answer *frame
	defer func() {
		// Without the option a panic goes on; with it, or after
		// runtime.Goexit, the caller gets an answer (B31).
		if answer == nil {
			answer = call.answer(nil, d.notReturned(recover()))
		}
		call.request.release()
		call.finish(answer)
	}()
	answer = call.answer(d.dispatch(call))
	if call.began != 0 {
		call.method.learn(now() - call.began)
	}
}

// notReturned is the error of a handler that has panicked, or has ended its
// goroutine if panicked is nil.
func (d *dispatcher) notReturned(panicked any) error {
	switch {
	case panicked == nil:
		return status.Error(codes.Internal, "ttrpc: the handler ended its goroutine")
	case !d.recoverPanics:
		panic(panicked) // with the handler still on the stack
	}
	d.log.Error("ttrpc: panic in a handler", "panic", panicked, "stack", string(debug.Stack()))
	return status.Errorf(codes.Internal, "ttrpc: panic in the handler: %v", panicked)
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
	v, err := parseRequest(call.request.data)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "unmarshal request error: %v", err)
	}
	call.method, call.streamMethod, err = d.services.find(v.service, v.method)
	if err != nil {
		return err
	}
	call.payload, call.metadata = v.payload, v.metadata
	timeout := time.Duration(v.timeoutNano)
	if timeout == 0 && call.method != nil {
		timeout = max(d.defaultTimeout, 0)
	}
	if timeout != 0 {
		call.deadline = time.Now().Add(timeout)
	}
	return nil
}

func (d *dispatcher) dispatch(call *serverCall) (any, error) {
	switch err := d.route(call); {
	case err != nil:
		return nil, err
	case call.method != nil:
		return d.callUnary(call, call.method)
	}
	return d.callStream(call, call.streamMethod)
}

func (d *dispatcher) callUnary(call *serverCall, m *unaryMethod) (any, error) {
	if !call.unary { // a stream, to its client
		call.inbox.start(nil)
		call.closeRemote()
	}
	if call.reads != nil || m.isSlower(quickAmong) {
		call.began = now()
	}
	r := decoders.Get().(*requestDecoder)
	r.payload = call.payload
	defer r.release()
	if d.unary != nil {
		return d.unary(&call.callContext, r.decode, &m.info, m.handle)
	}
	return m.handle(&call.callContext, r.decode)
}

func (d *dispatcher) callStream(call *serverCall, s *streamMethod) (any, error) {
	call.unary = false // whatever its client thinks
	payload := call.payload
	first, flags := call.request, call.request.header.Flags
	call.request = nil
	open := s.info.StreamingClient && acceptedState(flags) == stateOpen
	// The request's payload is the first message, and the only one if the
	// client does not stream, even if it is empty (B40).
	if !s.info.StreamingClient || len(payload) > 0 && flags&flagNoData == 0 {
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
		defer context.AfterFunc(&call.callContext, call.contextEnded)()
	}
	if d.stream != nil {
		return d.stream(&call.callContext, (*serverStream)(call), &s.info, s.handle)
	}
	return s.handle(&call.callContext, (*serverStream)(call))
}

// answer makes the terminal frame of what the handler returned.
func (call *serverCall) answer(result any, err error) *frame {
	limit := call.conn.cfg.maxMessage
	if err == nil && call.streamMethod != nil && call.streamMethod.info.StreamingServer {
		return closeFrame(call.id)
	}
	if err == nil && call.streamMethod == nil && isNil(result) {
		err = status.Error(codes.Unknown, "ttrpc: marshal called with nil")
	}
	if err == nil {
		f, failed := resultFrame(call.id, result, limit)
		if failed == nil {
			return f
		}
		err = encodeError(result, failed)
		if big, ok := err.(*OversizedMessageErr); ok {
			err = big.err // B8
		}
	}
	f := responseFrame(call.id, statusOf(err).Proto())
	if n := len(f.data) - messageHeaderLength; n > limit {
		f.release()
		f = responseFrame(call.id, statusOf(oversized(n, limit).err).Proto())
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
		call.inbox.close(err, true)
	}
}

// A serverStream is the serverCall that a stream's handler sees.
type serverStream serverCall

// SendMsg implements [StreamServer].
func (ss *serverStream) SendMsg(m any) error {
	if !ss.streamMethod.info.StreamingServer {
		return fmt.Errorf("%w: cannot send data from non-streaming server", ErrProtocol)
	}
	f, err := dataFrame(m, ss.conn.cfg.maxMessage)
	if err != nil {
		return encodeError(m, err)
	}
	return ss.conn.send(&ss.stream, f, false)
}

// RecvMsg implements [StreamServer].
func (ss *serverStream) RecvMsg(m any) error {
	f, err := ss.inbox.take()
	if err != nil {
		return err
	}
	defer f.release()
	return decodeRequest(f.data, m)
}

// A requestDecoder has the function that a Method decodes its request with. It is
// pooled, because a function with data of its own is an allocation.
type requestDecoder struct {
	payload []byte
	decode  func(any) error
}

var decoders = sync.Pool{New: func() any {
	r := new(requestDecoder)
	r.decode = func(msg any) error { return decodeRequest(r.payload, msg) }
	return r
}}

func (r *requestDecoder) release() {
	r.payload = nil
	decoders.Put(r)
}

// decodeRequest decodes what a client sent. The errors are the statuses that a
// handler passes on (B10).
func decodeRequest(b []byte, msg any) error {
	err := unmarshal(b, msg)
	if err == nil {
		return nil
	}
	if _, ok := err.(*typeError); ok {
		return status.Errorf(codes.Internal, "ttrpc: error unsupported request type: %T", msg)
	}
	return status.Errorf(codes.Internal, "ttrpc: error unmarshalling payload: %v", err)
}

// encodeError is the status of an answer that could not be encoded (B10).
func encodeError(msg any, err error) error {
	switch err.(type) {
	case *OversizedMessageErr:
		return err
	case *typeError:
		return status.Errorf(codes.Internal, "ttrpc: error unsupported response type: %T", msg)
	}
	return status.Errorf(codes.Internal, "ttrpc: error marshaling payload: %v", err)
}
