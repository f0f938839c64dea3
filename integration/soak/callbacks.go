// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
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
	server.RegisterService(clientServiceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Echo": new(service).echo, "Told": c.tell},
	})
	return c
})

// expect returns where what the call's handler is told arrives.
func (c *callbacks) expect(call uint64) <-chan codes.Code {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := make(chan codes.Code, 1)
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
	c.mu.Lock()
	defer c.mu.Unlock()
	told, ok := c.told[o.Call]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "nobody waits for call %d", o.Call)
	}
	delete(c.told, o.Call)
	told <- codes.Code(o.Failure)
	return wrapperspb.Bytes(nil), nil
}
