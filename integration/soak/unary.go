// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// messageLimit is how large a message may be, its envelope included.
const messageLimit = 4 << 20

// largest is a size of content that fits with any envelope and order.
const largest = messageLimit - 1024

// echo sends bytes of any size, without an order.
func echo(a *attempt) (string, error) {
	return a.echo(content{a.rng.Uint64(), randomSize(a.rng, largest)})
}

func (a *attempt) echo(c content) (string, error) {
	resp := new(wrapperspb.BytesValue)
	err := a.client.Call(context.Background(), serviceName, "Echo", c.message(), resp)
	if err == nil {
		err = c.check(invert(resp.Value))
	}
	return a.judge(nil, err, answered)
}

// empty sends a message of 0 bytes and gets one.
func empty(a *attempt) (string, error) { return a.echo(content{}) }

// call sends and gets messages of any size.
func call(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(randomSize(a.rng, largest))
	if a.rng.IntN(20) == 0 {
		o.Delay = uint32(a.rng.IntN(5000))
	}
	return a.judge(o, a.call(context.Background(), o, randomSize(a.rng, largest)), answered)
}

// largeBesideSmall makes small calls while a large one is under way, which leaves in parts
// in extended mode.
func largeBesideSmall(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(64<<10 + a.rng.IntN(1<<20))
	n := 64<<10 + a.rng.IntN(1<<20)
	large := make(chan error, 1)
	go func() { large <- a.call(context.Background(), o, n) }()
	var small string
	var wrong error
	for i := 0; i < 4 && wrong == nil && small != outcomeClosed && small != outcomeRefused; i++ {
		small, wrong = a.echo(content{a.rng.Uint64(), a.rng.IntN(256)})
	}
	outcome, err := a.judge(o, <-large, answered)
	if err != nil || outcome != answered.outcome {
		return outcome, err
	}
	return small, wrong
}

// callWithContext has metadata and a deadline that does not pass.
func callWithContext(a *attempt) (string, error) {
	o := a.order()
	o.Context = true
	o.Size = uint32(randomSize(a.rng, 1024))
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ctx = ttrpc.WithMetadata(ctx, metadataOf(o))
	return a.judge(o, a.call(ctx, o, randomSize(a.rng, 1024)), answered)
}

// failingCall gets an error of the handler's, with its details.
func failingCall(a *attempt) (string, error) {
	o := a.order()
	o.Failure = uint8(1 + a.rng.IntN(len(failures)-1))
	return a.judge(o, a.call(context.Background(), o, randomSize(a.rng, 1024)), failed(o))
}

// unimplemented calls what is not there.
func unimplemented(a *attempt) (string, error) {
	service, method, want := serviceName, "Nothing", "method Nothing"
	if a.rng.IntN(2) == 0 {
		service, want = "soak.Nothing", "service soak.Nothing"
	}
	err := a.client.Call(context.Background(), service, method, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	return a.judge(nil, err, expectation{outcome: "unimplemented", is: func(err error) bool {
		st, ok := status.FromError(err)
		return ok && st.Code() == codes.Unimplemented && st.Message() == want
	}})
}

// lateCall has a deadline that passes while the handler runs.
func lateCall(a *attempt) (string, error) {
	o := a.order()
	o.Must = false
	o.Stubborn = a.rng.IntN(2) == 0
	o.Delay = uint32(50_000 + a.rng.IntN(150_000))
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+a.rng.IntN(20))*time.Millisecond)
	defer cancel()
	return a.judge(o, a.call(ctx, o, randomSize(a.rng, 8<<10)), late, answered)
}

// pastCall has a deadline that has passed before.
func pastCall(a *attempt) (string, error) {
	o := a.order()
	o.Must = false
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	return a.judge(o, a.call(ctx, o, 0), isExactly("deadline passed", context.DeadlineExceeded))
}

// canceledCall is given up while it is under way.
func canceledCall(a *attempt) (string, error) {
	o := a.order()
	o.Must = false
	o.Stubborn = a.rng.IntN(2) == 0
	o.Delay = uint32(a.rng.IntN(100_000))
	o.Size = uint32(randomSize(a.rng, 128<<10))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.AfterFunc(time.Duration(a.rng.IntN(2000))*time.Microsecond, cancel)
	defer timer.Stop()
	return a.judge(o, a.call(ctx, o, randomSize(a.rng, 128<<10)), canceled, answered)
}

// fullRequest sends a request that is exactly as large as is allowed.
func fullRequest(a *attempt) (string, error) {
	return a.echoRequest(0, answered)
}

// oversizedRequest sends a request that is a little larger than is allowed. It is
// not sent at all.
func oversizedRequest(a *attempt) (string, error) {
	return a.echoRequest(1+a.rng.IntN(1024), oversized)
}

// echoRequest makes a call whose request is n bytes over the limit. The answer has a
// smaller envelope, so that it fits if the request does.
func (a *attempt) echoRequest(n int, want expectation) (string, error) {
	c := content{a.rng.Uint64(), messageLimit - requestEnvelope + n}
	req, resp := c.message(), new(wrapperspb.BytesValue)
	err := a.client.Call(context.Background(), serviceName, "Echo", req, resp)
	if err == nil {
		err = c.check(invert(resp.Value))
	}
	return a.judge(nil, err, want)
}

// requestEnvelope and responseEnvelope are how many bytes messages near the limit
// have beside their content.
var (
	requestEnvelope = envelope(func(payload []byte) proto.Message {
		return &ttrpc.Request{Service: serviceName, Method: "Echo", Payload: payload}
	})
	responseEnvelope = envelope(func(payload []byte) proto.Message {
		return &ttrpc.Response{Payload: payload}
	})
)

func envelope(wrap func(payload []byte) proto.Message) int {
	payload, err := proto.Marshal(wrapperspb.Bytes(make([]byte, largest)))
	if err != nil {
		panic(err)
	}
	return proto.Size(wrap(payload)) - largest
}

// fullResponse gets an answer that is exactly as large as is allowed.
func fullResponse(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(messageLimit - responseEnvelope)
	return a.judge(o, a.call(context.Background(), o, 0), answered)
}

// oversizedResponse orders an answer that is too large (B8).
func oversizedResponse(a *attempt) (string, error) {
	o := a.order()
	o.Size = uint32(messageLimit - responseEnvelope + 1 + a.rng.IntN(1024))
	err := a.call(context.Background(), o, 0)
	if err == nil {
		err = &mismatch{fmt.Sprintf("an answer of %d bytes", o.Size)}
	}
	return a.judge(o, err, exhausted)
}
