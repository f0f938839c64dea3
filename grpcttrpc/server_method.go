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
	if m.config.encodes() {
		return m.handleEncoding(call, unmarshal)
	}
	answer, err := m.handler(m.impl, call, unmarshal, m.config.unary)
	if err != nil {
		return nil, handlerError(err)
	}
	return presentMessage(answer), nil
}

// handleEncoding is handle where messages are encoded here, and not by ttrpc.
func (m *servedUnaryMethod) handleEncoding(call *servedCall, unmarshal func(any) error) (answer any, err error) {
	ctx := call.beginStats()
	err = errNoReturn
	defer func() { call.stats.end(err) }()
	receive := func(req any) error {
		raw := new(ttrpc.RawMessage)
		if err := unmarshal(raw); err != nil {
			return err
		}
		return call.decode(raw, req)
	}
	if answer, err = m.handler(m.impl, ctx, receive, m.config.unary); err != nil {
		return nil, handlerError(err)
	}
	raw, err := call.encode(answer)
	if err != nil {
		return nil, err
	}
	call.stats.sent(answer, len(raw.Payload))
	return raw, nil
}

// encode encodes a message of the handler's.
func (c *servedCall) encode(m any) (*ttrpc.RawMessage, error) {
	return encode(c.method.config.codec, m)
}

// decode decodes a message for the handler, and tells stats handlers.
func (c *servedCall) decode(raw *ttrpc.RawMessage, m any) error {
	n := len(raw.Payload)
	if err := decode(c.method.config.codec, raw, m); err != nil {
		return err
	}
	c.stats.received(m, n)
	return nil
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
