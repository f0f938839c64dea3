// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"sync"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const clientServiceName = "soak.Client"

// A callbacks is what the clients of this process answer.
type callbacks struct {
	server *ttrpc.Server

	mu   sync.Mutex
	told map[uint64]chan codes.Code // by the call that is canceled
}

// ours returns the callbacks of this process.
var ours = sync.OnceValue(func() *callbacks {
	server, err := ttrpc.NewServer()
	if err != nil {
		panic(err) // there are no options
	}
	c := &callbacks{server: server, told: make(map[uint64]chan codes.Code)}
	s := &service{fault: new(fault)}
	server.RegisterService(clientServiceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": s.echo, "File": s.method(s.file), "Told": c.tell},
		Streams: map[string]ttrpc.Stream{
			"Chat":  {Handler: s.stream(s.chat), StreamingClient: true, StreamingServer: true},
			"Await": {Handler: s.stream(c.await(s)), StreamingClient: true, StreamingServer: true},
		},
	})
	return c
})

// expect returns where what the call's handler is told arrives.
func (c *callbacks) expect(call uint64) <-chan codes.Code {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := make(chan codes.Code, 2) // that the handler runs, and why it is to end
	c.told[call] = told
	return told
}

func (c *callbacks) forget(call uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.told, call)
}

// tell takes a handler's word for why its context has ended.
func (c *callbacks) tell(_ context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.BytesValue)
	if err := unmarshal(m); err != nil {
		return nil, err
	}
	o, err := parseOrder(m.Value)
	if err != nil {
		return nil, dataLoss("what a handler was told", err)
	}
	if err := c.say(o.Call, codes.Code(o.Failure)); err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(nil), nil
}

// say has the attempt that expects it know what a handler was told.
func (c *callbacks) say(call uint64, code codes.Code) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.told[call] <- code:
		return nil
	default:
		return status.Errorf(codes.NotFound, "nobody waits for that of call %d", call)
	}
}

// await is service.await at this side, where it needs no call to say what it was told.
func (c *callbacks) await(s *service) func(context.Context, *order, ttrpc.StreamServer) (any, error) {
	return func(ctx context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
		if err := s.send(o, 0, stream); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, errors.Join(ctx.Err(), c.say(o.Call, status.Code(context.Cause(ctx))))
	}
}
