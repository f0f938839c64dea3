// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// toldCancel gives a stream up whose handler waits for that, and has it say by a call to
// this side what it was told.
func toldCancel(a *attempt) (string, error) {
	o := a.order()
	o.Must, o.Count, o.Size = false, 1, 512
	told := ours().expect(o.Call)
	defer ours().forget(o.Call)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, err := a.open(ctx, "Await", chats, o)
	if err == nil {
		err = t.receive(0, 1)
	}
	if err != nil {
		return a.judge(o, err)
	}
	cancel()
	if err = t.end(io.EOF); errors.Is(err, context.Canceled) {
		if wrong := isTold(told, codes.Canceled, a.client.Done()); wrong != nil {
			err = wrong
		}
	}
	return a.judge(o, err, canceled)
}

// isTold waits until a handler has said what it was told, or cannot any more.
func isTold(told <-chan codes.Code, want codes.Code, over <-chan struct{}) error {
	select {
	case code := <-told:
		if code != want {
			return &mismatch{fmt.Sprintf("B47: a handler was told %v, want %v", code, want)}
		}
		return nil
	case <-over:
		return ttrpc.ErrClosed
	}
}

// await sends a message and waits for its context to end.
func (s *service) await(ctx context.Context, o *order, stream ttrpc.StreamServer) (any, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.send(o, 0, stream); err != nil {
		return nil, err
	}
	<-ctx.Done()
	// Nobody waits for what becomes of this but who made the call.
	_ = tell(context.WithoutCancel(ctx), client, o, status.Code(context.Cause(ctx)))
	return nil, ctx.Err()
}

// tell tells the caller what its call's handler was told.
func tell(ctx context.Context, client *ttrpc.Client, o *order, code codes.Code) error {
	told := &order{Call: o.Call, Failure: uint8(code)}
	return client.Call(ctx, clientServiceName, "Told", told.message(0), new(wrapperspb.BytesValue))
}

// toldCancelOfCall gives up a unary call whose handler has said that it runs, and has it
// say what it was told.
func toldCancelOfCall(a *attempt) (string, error) {
	o := a.order()
	o.Must = false
	told := ours().expect(o.Call)
	defer ours().forget(o.Call)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	called := make(chan error, 1)
	go func() { called <- a.callMethod(ctx, "Wait", o, 0) }()
	select {
	case code := <-told:
		if code != codes.OK {
			return "", &mismatch{fmt.Sprintf("a handler was told %v before anything was to be told", code)}
		}
	case err := <-called:
		return a.judge(o, err)
	}
	cancel()
	err := <-called
	if errors.Is(err, context.Canceled) {
		if wrong := isTold(told, codes.Canceled, a.client.Done()); wrong != nil {
			err = wrong
		}
	}
	return a.judge(o, err, canceled)
}

// wait says that it runs, and waits for its context to end.
func (s *service) wait(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	telling := context.WithoutCancel(ctx) // who hears the first may cancel at once
	if err := tell(telling, client, o, codes.OK); err != nil {
		return nil, err
	}
	<-ctx.Done()
	_ = tell(telling, client, o, status.Code(context.Cause(ctx)))
	return nil, ctx.Err()
}
