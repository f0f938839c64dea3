// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
)

// A servedMethod is a method of a service that was registered.
type servedMethod struct {
	config                       *servedConfig
	impl                         any
	fullName                     string // "/package.Service/Method"
	clientStreams, serverStreams bool
}

func newServedMethod(config *servedConfig, service, name string, impl any) *servedMethod {
	return &servedMethod{config: config, impl: impl, fullName: "/" + service + "/" + name}
}

// A servedUnaryMethod is one with one request and one answer.
type servedUnaryMethod struct {
	*servedMethod
	handler func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)
}

// handle is a [ttrpc.Method]. The request is decoded straight from its frame, and the answer
// straight into one.
func (m *servedUnaryMethod) handle(ctx context.Context, unmarshal func(any) error) (any, error) {
	call, err := newServedCall(ctx, m.servedMethod)
	if err != nil {
		return nil, err
	}
	if m.config.stats != nil {
		return m.handleTold(call, unmarshal)
	}
	return unaryAnswer(m.handler(m.impl, call, unmarshal, m.config.unary))
}

// handleTold is handle for stats handlers.
func (m *servedUnaryMethod) handleTold(call *servedCall, unmarshal func(any) error) (answer any, err error) {
	ctx := call.beginStats()
	defer func() { call.stats.end(err) }()
	receive := func(req any) error {
		err := unmarshal(req)
		if err == nil {
			call.stats.received(req)
		}
		return err
	}
	answer, err = unaryAnswer(m.handler(m.impl, ctx, receive, m.config.unary))
	if err == nil {
		call.stats.sent(answer)
	}
	return answer, err
}

// unaryAnswer returns what a handler's results are at ttrpc.
func unaryAnswer(answer any, err error) (any, error) {
	if err != nil {
		return nil, handlerError(err)
	}
	return presentMessage(answer), nil
}

// presentMessage returns a message as it is sent. To gRPC nil and a nil pointer are empty
// messages, and to ttrpc they are none.
func presentMessage(m any) any {
	if msg, ok := m.(proto.Message); m == nil || ok && !msg.ProtoReflect().IsValid() {
		return new(ttrpc.RawMessage)
	}
	return m
}

// handlerError is the status of a handler's error, as gRPC has it: Unknown, but for the
// errors of contexts, and those that are or wrap a status.
func handlerError(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
