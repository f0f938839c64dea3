// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// callThatCallsBack has the handler make a call itself, to this side.
func callThatCallsBack(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(randomSize(a.rng, largest))
	return a.judge(o, a.callMethod(context.Background(), "Back", o, randomSize(a.rng, 1024)), answered)
}

func (s *service) back(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	c, resp := o.sent(0), new(wrapperspb.BytesValue)
	if err := client.Call(ctx, clientServiceName, "Echo", c.message(), resp); err != nil {
		return nil, err
	}
	if err := c.check(invert(resp.Value)); err != nil {
		return nil, dataLoss("the answer to a call back", err)
	}
	return s.corrupt(o, o.answer().message()), nil
}

// callThatPassesFiles has the handler make a call to this side, with a file each way.
func callThatPassesFiles(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(a.rng.IntN(pipeSize))
	return a.judge(o, a.callMethod(context.Background(), "BackFile", o, 0), answered)
}

func (s *service) backFile(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	if err := passFiles(ctx, client, clientServiceName, o); err != nil {
		return nil, lostOr("the file of a call back", err)
	}
	return o.answer().message(), nil
}

// streamBack has the handler open a stream to this side, and exchange messages.
func streamBack(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = uint32(a.rng.IntN(20)), 32<<10
	return a.judge(o, a.callMethod(context.Background(), "BackStream", o, 0), answered)
}

func (s *service) backStream(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	t, err := openBack(ctx, "Chat", o)
	if err != nil {
		return nil, err
	}
	for i := 0; err == nil && i < int(o.Count); i++ {
		err = t.exchange(i)
	}
	if err == nil && o.Count == 0 {
		err = t.because(t.CloseSend())
	}
	if err == nil {
		err = t.end(io.EOF)
	}
	if err != nil {
		return nil, lostOr("a stream back", err)
	}
	return o.answer().message(), nil
}

// openBack opens a stream to the peer of a handler, and sends the order.
func openBack(ctx context.Context, method string, o *order) (*talk, error) {
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := client.NewStream(ctx, &chats, clientServiceName, method, o.message(0))
	return &talk{stream, o}, err
}

// givenUpCallBack has the handler open a stream to this side and give it up. The handler
// of this side must hear of that.
func givenUpCallBack(a *attempt) (string, error) {
	o := a.order()
	o.Count, o.Size = 1, 512
	told := ours().expect(o.Call)
	defer ours().forget(o.Call)
	err := a.callMethod(context.Background(), "GiveUp", o, 0)
	if err == nil {
		err = isTold(told, codes.Canceled, nil) // the cancel came before the answer
	}
	return a.judge(o, err, answered)
}

func (s *service) giveUp(ctx context.Context, o *order) (*wrapperspb.BytesValue, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	t, err := openBack(inner, "Await", o)
	if err == nil {
		err = t.receive(0, 1)
	}
	if err != nil {
		return nil, lostOr("a stream back", err)
	}
	cancel()
	if err := t.end(io.EOF); !errors.Is(err, context.Canceled) {
		return nil, lostOr("the end of a stream back", err)
	}
	return o.answer().message(), nil
}
