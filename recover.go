// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A recoverer makes errors of panics in handlers. It is an interface so that only programs
// with the option link what does that.
type recoverer interface {
	// panicked returns the error. It is called while the handler is on the stack.
	panicked(d *dispatcher, call *serverCall, panicked any) error

	// unary is the handler as interceptors see it: a panic is an error to them.
	unary(d *dispatcher, call *serverCall, handle Method) Method

	// stream is the same for a stream.
	stream(d *dispatcher, call *serverCall, handle StreamHandler) StreamHandler
}

// recovers implements [recoverer].
type recovers struct{}

func (recovers) panicked(d *dispatcher, call *serverCall, panicked any) error {
	args := []any{"method", call.fullMethod(), "panic", panicked, "stack", string(debug.Stack())}
	if peer, ok := PeerFromContext(call.base); ok {
		args = append([]any{"peer", peer.Addr}, args...)
	}
	d.log.Error("ttrpc: panic in a handler", args...)
	return status.Errorf(codes.Internal, "ttrpc: panic in the handler: %v", panicked)
}

func (r recovers) unary(d *dispatcher, call *serverCall, handle Method) Method {
	return func(ctx context.Context, unmarshal func(any) error) (resp any, err error) {
		defer r.inside(d, call, &resp, &err)
		return handle(ctx, unmarshal)
	}
}

func (r recovers) stream(d *dispatcher, call *serverCall, handle StreamHandler) StreamHandler {
	return func(ctx context.Context, stream StreamServer) (resp any, err error) {
		defer r.inside(d, call, &resp, &err)
		return handle(ctx, stream)
	}
}

// inside is deferred around a handler.
func (r recovers) inside(d *dispatcher, call *serverCall, resp *any, err *error) {
	if panicked := recover(); panicked != nil {
		*resp, *err = nil, r.panicked(d, call, panicked)
	}
}
