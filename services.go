// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Method handles a unary call: it decodes the request with unmarshal and returns the
// response message, or an error. The package documentation tells which status an error
// becomes. The context ends when the method returns, the peer goes, or the caller's
// deadline passes.
//
// A method must not leave its goroutine locked to an OS thread, except with
// [WithGoroutinePerCall]. See there, too, for what others have to wait for a method that
// is quick most of the time.
type Method func(ctx context.Context, unmarshal func(any) error) (any, error)

// StreamHandler handles a stream. What it returns ends the stream: an error
// with that status, nil with success. The message that it returns is the
// answer if the server does not stream, and is ignored if it does. The context
// ends as a Method's does, and no thread must stay locked either. After [Detach]
// the stream and its context may outlive the handler.
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
	Streams map[string]Stream // the same; a name that is in both is a method's
}

// A StreamServer is a handler's end of a stream. SendMsg and RecvMsg may run
// concurrently with each other, but neither with itself. They must not be used
// after the handler has returned.
type StreamServer interface {
	// SendMsg sends a message; nil sends an empty one. It returns once the message is
	// encoded and queued, and waits if much is queued. The error is an
	// *OversizedMessageErr, and then nothing was sent and the stream goes on; one that
	// wraps ErrProtocol if the server does not stream; that of the encoding; ErrClosed if
	// the connection has ended; or what has ended the stream.
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
	pace
}

// A streamMethod is a registered Stream with what an interceptor is told.
type streamMethod struct {
	handle StreamHandler
	info   StreamServerInfo // if it is unknown, whether the server streams is for the handler to say
	pace                    // of a message, from when it was received until the next is awaited
}

// endsWithClose tells whether a stream whose handler has returned result ends without
// an answer.
func (m *streamMethod) endsWithClose(result any) bool {
	return m.info.StreamingServer && (!m.info.Unknown || isNil(result))
}

type service struct {
	methods map[string]*unaryMethod
	streams map[string]*streamMethod
}

// services is the registry. Look-ups take no lock: the map is replaced.
type services struct {
	mu     sync.Mutex
	byName atomic.Value // of map[string]*service
}

// add panics if the name is taken (B28).
func (r *services) add(name string, desc *ServiceDesc) {
	svc := &service{map[string]*unaryMethod{}, map[string]*streamMethod{}}
	for method, handle := range desc.Methods {
		svc.methods[method] = &unaryMethod{handle: handle, info: UnaryServerInfo{FullMethod: fullPath(name, method)}}
	}
	for method, s := range desc.Streams {
		svc.streams[method] = &streamMethod{handle: s.Handler, info: StreamServerInfo{fullPath(name, method), s.StreamingClient, s.StreamingServer, false}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]*service{name: svc}
	for other, svc := range r.all() {
		if other == name {
			panic(fmt.Errorf("duplicate service %v registered", name))
		}
		all[other] = svc
	}
	r.byName.Store(all)
}

// all returns the services by name. The map does not change.
func (r *services) all() map[string]*service {
	all, _ := r.byName.Load().(map[string]*service)
	return all
}

// find returns the method or the stream; the error is the caller's answer.
func (r *services) find(name, method []byte) (*unaryMethod, *streamMethod, error) {
	svc := r.all()[string(name)]
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

// SendMsg implements [StreamServer].
func (call *serverCall) SendMsg(m any) error { return call.told(call.sendMsg(m)) }

// RecvMsg implements [StreamServer].
func (call *serverCall) RecvMsg(m any) error { return call.told(call.recvMsg(m)) }

func (call *serverCall) sendMsg(m any) error {
	if !call.streamMethod.info.StreamingServer {
		return fmt.Errorf("%w: cannot send data from non-streaming server", ErrProtocol)
	}
	ctx, m, err := unbound(m)
	if err != nil {
		return err
	}
	f, err := call.conn.dataFrame(m)
	if err != nil {
		return encodeError(m, err)
	}
	return call.conn.send(ctx, &call.stream, f, false)
}

func (call *serverCall) recvMsg(m any) error {
	ctx, m, err := unbound(m)
	if err != nil {
		return err
	}
	f, err := call.take(ctx)
	if err != nil {
		return err
	}
	defer f.release()
	return call.conn.decodeData(&call.stream, f, m, call.conn.cfg.codec.decodeRequest)
}
