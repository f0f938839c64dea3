// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/integration/grpc/ways"
)

type (
	request  = testgrpc.SimpleRequest
	response = testgrpc.SimpleResponse
	asked    = testgrpc.StreamingOutputCallRequest
	answer   = testgrpc.StreamingOutputCallResponse
	duplex   = testgrpc.TestService_FullDuplexCallServer

	testEmpty        = testgrpc.Empty
	testDuplexClient = testgrpc.TestService_FullDuplexCallClient
	testInputServer  = testgrpc.TestService_StreamingInputCallServer
	testOutputServer = testgrpc.TestService_StreamingOutputCallServer
)

// A bed is where one situation is brought about over one way.
type bed struct {
	t   *testing.T
	way ways.Way
	ctx context.Context

	// Before open: what both ends are made with, and the handlers.
	setup  ways.Setup
	unary  func(context.Context, *request) (*response, error)
	stream func(duplex) error
	client func(testInputServer) error
	server func(*asked, testOutputServer) error

	// After open.
	path *ways.Path
	stub testgrpc.TestServiceClient
}

// open makes both ends.
func (b *bed) open() {
	b.setup.Register = func(r grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(r, service{bed: b}) }
	b.path = b.way.Open(b.t, b.setup)
	b.stub = testgrpc.NewTestServiceClient(b.path.CC)
}

// next makes a call that has nothing to do with what came before it, and returns its code.
func (b *bed) next() string {
	_, err := b.stub.EmptyCall(b.ctx, new(testEmpty))
	return code(err)
}

// A service has the handlers of a bed.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	bed *bed
}

func (s service) EmptyCall(context.Context, *testEmpty) (*testEmpty, error) {
	return new(testEmpty), nil
}

func (s service) UnaryCall(ctx context.Context, r *request) (*response, error) {
	return s.bed.unary(ctx, r)
}

func (s service) FullDuplexCall(ss duplex) error { return s.bed.stream(ss) }

func (s service) StreamingInputCall(ss testInputServer) error {
	return s.bed.client(ss)
}

func (s service) StreamingOutputCall(r *asked, ss testOutputServer) error {
	return s.bed.server(r, ss)
}

// code returns the name of an error's code. What stubs return must be a status, or io.EOF.
func code(err error) string {
	if err == nil {
		return "OK"
	}
	if err == io.EOF {
		return "EOF"
	}
	st, ok := status.FromError(err)
	if !ok {
		return "no status: " + err.Error()
	}
	return st.Code().String()
}

// join makes one answer of several.
func join(parts ...string) string { return strings.Join(parts, "; ") }

// body returns a payload of n bytes.
func body(n int) *testgrpc.Payload { return &testgrpc.Payload{Body: make([]byte, n)} }

// A hung handler waits until its context ends.
type hung struct {
	bed     *bed
	count   atomic.Int32  // of handlers that have begun
	begun   chan struct{} // one for each of them
	ended   chan struct{} // one for each whose context has ended
	release chan struct{} // closed at the end of the test
}

// hang has the handlers of the bed wait.
func (b *bed) hang() *hung {
	h := &hung{bed: b, begun: make(chan struct{}, 10), ended: make(chan struct{}, 10), release: make(chan struct{})}
	b.t.Cleanup(func() { close(h.release) })
	b.unary = func(ctx context.Context, _ *request) (*response, error) { return nil, h.wait(ctx) }
	b.stream = func(ss duplex) error { return h.wait(ss.Context()) }
	return h
}

func (h *hung) wait(ctx context.Context) error {
	h.count.Add(1)
	h.begun <- struct{}{}
	select {
	case <-ctx.Done():
		h.ended <- struct{}{}
		return ctx.Err()
	case <-h.release:
		return nil
	}
}

// told returns whether the handler was told that nobody waits for it any more.
func (h *hung) told() string {
	select {
	case <-h.ended:
		return "handler told"
	case <-h.bed.ctx.Done():
		return "handler not told"
	}
}

// toldOfCancel returns whether it was told of what the client has done. On a classic
// connection it is not: what the server takes next comes after all by which it could be.
func (h *hung) toldOfCancel() string {
	if !h.bed.way.Classic {
		return h.told()
	}
	h.bed.next()
	select {
	case <-h.ended:
		return "handler told"
	default:
		return "handler not told"
	}
}
