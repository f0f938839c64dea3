// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/internal/meta"
)

// A servedStreamMethod is one that gRPC calls a stream.
type servedStreamMethod struct {
	*servedMethod
	handler grpc.StreamHandler
}

// handle is a [ttrpc.StreamHandler].
func (m *servedStreamMethod) handle(ctx context.Context, stream ttrpc.StreamServer) (answer any, err error) {
	call, err := newServedCall(ctx, m.servedMethod)
	if err != nil {
		return nil, err
	}
	s := &servedStream{ctx: call.beginStats(), call: call, stream: stream}
	err = errNoReturn
	defer func() { call.stats.end(err) }()
	if m.config.stream == nil || !m.clientStreams && !m.serverStreams {
		err = m.handler(m.impl, s)
	} else {
		info := &grpc.StreamServerInfo{FullMethod: m.fullName, IsClientStream: m.clientStreams, IsServerStream: m.serverStreams}
		err = m.config.stream(m.impl, s, info, m.handler)
	}
	return s.end(err)
}

// A servedStream is a handler's end of a stream. It implements grpc.ServerStream.
type servedStream struct {
	ctx    context.Context // the call, or what stats handlers have made of it
	call   *servedCall
	stream ttrpc.StreamServer
	failed atomic.Pointer[error] // what ends the stream whatever the handler returns

	// The sender's.
	answer any // if the server does not stream
}

const (
	noAnswer    = "cardinality violation: received no response message from non-server-streaming RPC"
	manyAnswers = "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"
)

// end returns what a handler's result is at ttrpc.
func (s *servedStream) end(err error) (any, error) {
	if failed := s.failed.Load(); failed != nil {
		return nil, *failed
	}
	switch {
	case err != nil:
		return nil, handlerError(err)
	case s.call.method.serverStreams:
		return nil, nil
	case s.answer == nil:
		return nil, status.Error(codes.Internal, noAnswer)
	}
	return s.answer, nil
}

// fail takes note of an error that ends the stream. As at gRPC the first one stands.
func (s *servedStream) fail(err error) error {
	s.failed.CompareAndSwap(nil, &err)
	return err
}

// Context implements grpc.ServerStream.
func (s *servedStream) Context() context.Context { return s.ctx }

// SetHeader implements grpc.ServerStream.
func (s *servedStream) SetHeader(md metadata.MD) error { return s.call.SetHeader(md) }

// SendHeader implements grpc.ServerStream.
func (s *servedStream) SendHeader(md metadata.MD) error { return s.call.SendHeader(md) }

// SetTrailer implements grpc.ServerStream.
func (s *servedStream) SetTrailer(md metadata.MD) {
	if _, err := meta.Outgoing(md); err != nil { // what else is wrong gRPC does not log
		servedLog.Errorf("a trailer was not set: %v", err)
		return
	}
	s.call.SetTrailer(md)
}

var servedLog = grpclog.Component("grpcttrpc")

// SendMsg implements grpc.ServerStream. The answer to a stream of the client's leaves when
// the handler returns.
func (s *servedStream) SendMsg(m any) error {
	msg, n := presentMessage(m), 0
	if s.call.method.config.encodes() || !s.call.method.serverStreams {
		raw, err := s.call.encode(m)
		if err != nil {
			return s.fail(err)
		}
		msg, n = raw, len(raw.Payload)
	}
	switch {
	case s.call.method.serverStreams:
		if err := s.stream.SendMsg(msg); err != nil {
			return s.fail(failure(nil, err))
		}
	case s.answer != nil:
		return s.fail(status.Error(codes.Internal, manyAnswers))
	default:
		s.call.begun.Store(true)
		s.answer = msg
	}
	s.call.stats.sent(m, n)
	return nil
}

// RecvMsg implements grpc.ServerStream.
func (s *servedStream) RecvMsg(m any) error {
	raw, into := (*ttrpc.RawMessage)(nil), m
	if s.call.method.config.encodes() {
		raw = new(ttrpc.RawMessage)
		into = raw
	}
	err := s.stream.RecvMsg(into)
	switch {
	case err == io.EOF:
		return err
	case err != nil:
		return s.fail(failure(nil, err))
	case raw == nil:
		return nil
	}
	if err := s.call.decode(raw, m); err != nil {
		return s.fail(err)
	}
	return nil
}
