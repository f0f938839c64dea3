// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"runtime"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

type (
	gate       = <-chan struct{}
	bytesValue = wrapperspb.BytesValue
	intValue   = wrapperspb.Int64Value
)

// method makes a Method of a function that takes the request, and counts.
func method[In any, P interface {
	*In
	proto.Message
}](s *subject, handle func(context.Context, P, gate) (any, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		released := s.enter()
		defer s.left.Add(1)
		in := P(new(In))
		if err := unmarshal(in); err != nil {
			return nil, err
		}
		return handle(ctx, in, released)
	}
}

// enter counts a handler and returns what lets it go, if it waits for that.
func (s *subject) enter() gate {
	defer s.entered.Add(1)
	return s.released()
}

func (s *subject) methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		// Echo answers with the request.
		"Echo": method(s, func(_ context.Context, in *bytesValue, _ gate) (any, error) { return in, nil }),
		// Bytes answers with as many bytes as the request says.
		"Bytes": method(s, func(_ context.Context, in *intValue, _ gate) (any, error) {
			return wrapperspb.Bytes(make([]byte, in.Value)), nil
		}),
		// Hold waits until it is released, whatever becomes of its context.
		"Hold": method(s, func(_ context.Context, in *bytesValue, released gate) (any, error) {
			<-released
			return in, nil
		}),
		// Wait waits for the end of its context.
		"Wait": method(s, func(ctx context.Context, _ *bytesValue, _ gate) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		// Panic panics.
		"Panic": method(s, func(context.Context, *bytesValue, gate) (any, error) { panic("the handler's fault") }),
		// Goexit ends its goroutine.
		"Goexit": method(s, func(context.Context, *bytesValue, gate) (any, error) {
			runtime.Goexit()
			return nil, nil
		}),
	}
}

func (s *subject) streams() map[string]ttrpc.Stream {
	const client, server = true, true
	counted := func(handle func(context.Context, ttrpc.StreamServer, gate) (any, error)) ttrpc.StreamHandler {
		return func(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
			released := s.enter()
			defer s.left.Add(1)
			return handle(ctx, stream, released)
		}
	}
	return map[string]ttrpc.Stream{
		"EchoStream":  {Handler: counted(s.echo), StreamingClient: client, StreamingServer: server},
		"EndlessEcho": {Handler: counted(s.endlessEcho), StreamingClient: client, StreamingServer: server},
		"Sink":        {Handler: counted(s.sink), StreamingClient: client},
		"Ignore":      {Handler: counted(s.ignore), StreamingClient: client, StreamingServer: server},
		"PanicStream": {Handler: counted(panicking), StreamingClient: client, StreamingServer: server},
		"Flood":       {Handler: counted(s.flood), StreamingServer: server},
	}
}

// each does something with every message that is received.
func (s *subject) each(stream ttrpc.StreamServer, do func(*bytesValue) error) error {
	for {
		in := new(bytesValue)
		err := stream.RecvMsg(in)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			s.received.Add(1)
			err = do(in)
		}
		if err != nil {
			return err
		}
	}
}

// echo sends back what it receives.
func (s *subject) echo(_ context.Context, stream ttrpc.StreamServer, _ gate) (any, error) {
	return nil, s.each(stream, func(in *bytesValue) error { return stream.SendMsg(in) })
}

// sink receives, and answers at the end.
func (s *subject) sink(_ context.Context, stream ttrpc.StreamServer, _ gate) (any, error) {
	return new(bytesValue), s.each(stream, func(*bytesValue) error { return nil })
}

// ignore receives nothing until it is released.
func (s *subject) ignore(_ context.Context, _ ttrpc.StreamServer, released gate) (any, error) {
	<-released
	return nil, nil
}

func panicking(context.Context, ttrpc.StreamServer, gate) (any, error) { panic("the handler's fault") }

// flood sends messages, of as many bytes as the request says, until that fails.
func (s *subject) flood(ctx context.Context, stream ttrpc.StreamServer, _ gate) (any, error) {
	size := new(intValue)
	if err := stream.RecvMsg(size); err != nil {
		return nil, err
	}
	return nil, endless(ctx, stream, wrapperspb.Bytes(make([]byte, size.Value)))
}

// endlessEcho sends the first message back until that fails.
func (s *subject) endlessEcho(ctx context.Context, stream ttrpc.StreamServer, _ gate) (any, error) {
	in := new(bytesValue)
	if err := stream.RecvMsg(in); err != nil {
		return nil, err
	}
	return nil, endless(ctx, stream, in)
}

func endless(ctx context.Context, stream ttrpc.StreamServer, message any) error {
	for ctx.Err() == nil {
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
	return ctx.Err()
}
