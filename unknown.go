// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/ttrpc/internal/wire"
)

// An UnknownServiceHandler handles the calls of services and methods that a server does
// not have. It sees every call as a stream, on which a [RawMessage] can be sent and
// received, or a message of a known type. The context has the metadata and the deadline of
// the call: a call that is made with it passes them on.
//
// If the call is unary, or its client does not stream, RecvMsg returns one message, and
// then io.EOF. On a unary call SendMsg fails. A request does not tell whether its client
// expects a stream of messages or one answer, so the handler has to know. After messages
// that it has sent it returns nil; one answer it returns as the result, which ends the
// call. A unary call needs an answer. An error ends any call with its status.
//
// When the handler returns, a RecvMsg that still waits returns [context.Canceled]. None
// may be begun after that.
type UnknownServiceHandler func(ctx context.Context, call *UnknownCall, stream StreamServer) (any, error)

// An UnknownCall describes a call to an [UnknownServiceHandler].
type UnknownCall struct {
	Service, Method string

	Unary           bool // one request, one answer: to be made by Call, else by NewStream
	StreamingClient bool // the client may send any number of messages, else it sends one
}

// StreamDesc returns the description with which to open the same stream elsewhere. It says
// that the server streams, for nobody knows whether it does. [RawMessage] tells how to
// find out.
func (c *UnknownCall) StreamDesc() *StreamDesc {
	return &StreamDesc{StreamingClient: c.StreamingClient, StreamingServer: true}
}

// WithUnknownServiceHandler has handler handle the calls of services and methods that the
// server does not have. It runs inside the server's interceptors; those of streams are
// told that the server streams. By default such calls are Unimplemented. Giving two is an
// error.
func WithUnknownServiceHandler(handler UnknownServiceHandler) ServerOpt {
	if handler == nil {
		panic("ttrpc: the handler of unknown services is nil")
	}
	return func(c *serverConfig) error {
		if c.unknown != nil {
			return errors.New("ttrpc: only one handler of unknown services allowed per server")
		}
		c.unknown = handler.route
		return nil
	}
}

// route makes the method of a call that has none. It returns false for a Hello, which a
// server that knows of it has answered: it is about one connection and must not be passed
// on to another.
func (h UnknownServiceHandler) route(call *serverCall, v requestView) bool {
	info := &UnknownCall{Service: string(v.service), Method: string(v.method)}
	if info.Service == wire.HelloService {
		return false
	}
	flags := call.request.header.Flags
	info.Unary = acceptedState(flags) == stateUnary
	info.StreamingClient = acceptedState(flags) == stateOpen
	path := fullPath(info.Service, info.Method)
	if info.Unary {
		codec := call.conn.cfg.codec
		handle := func(ctx context.Context, unmarshal func(any) error) (any, error) {
			s := &requestStream{codec: codec}
			if err := unmarshal(&s.request); err != nil {
				return nil, err
			}
			return h(ctx, info, s)
		}
		call.method = &unaryMethod{handle: handle, info: UnaryServerInfo{path, true}}
		return true
	}
	handle := func(ctx context.Context, stream StreamServer) (any, error) { return h(ctx, info, stream) }
	call.streamMethod = &streamMethod{handle: handle, info: StreamServerInfo{path, info.StreamingClient, true, true}}
	return true
}

// A requestStream shows the request of a unary call as a stream of one message.
type requestStream struct {
	codec   codec
	request RawMessage
	taken   bool
}

// SendMsg implements [StreamServer].
func (*requestStream) SendMsg(any) error {
	return fmt.Errorf("%w: cannot send data on a unary call", ErrProtocol)
}

// RecvMsg implements [StreamServer].
func (s *requestStream) RecvMsg(m any) error {
	if s.taken {
		return io.EOF
	}
	s.taken = true
	decode := func(f *frame, b []byte, m any) error {
		if raw, ok := m.(*RawMessage); ok && raw != nil {
			*raw = s.request
			return nil
		}
		return s.codec.decodeRequest(f, b, m)
	}
	return decodeMessage(new(frame), s.request.Payload, m, decode) // what came beside it is the call's
}
