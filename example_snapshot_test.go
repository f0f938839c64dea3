// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

func ExampleClient_Snapshot() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := streaming.NewStreamingClient(client).Echo(ctx, &streaming.EchoPayload{})
	check(err)
	stream, err := streaming.NewStreamingClient(client).EchoStream(ctx)
	check(err)
	check(stream.Send(&streaming.EchoPayload{Msg: "hi"}))

	snap := client.Snapshot()
	fmt.Printf("%+v\n", snap.Made)
	for _, s := range snap.Streams {
		fmt.Println(s.FullMethod, s.State, s.Sent.Messages, time.Since(s.Start) < time.Minute, time.Until(s.Deadline) > 0)
	}
	// Output:
	// {OK:1 Failed:0 Canceled:0 Deadline:0 Refused:0}
	// /ttrpc.integration.streaming.Streaming/EchoStream open 1 true true
}

func ExampleTrace() {
	trace := &ttrpc.Trace{Call: func(call ttrpc.CallInfo) func(error) {
		method := call.FullMethod
		if !call.Known { // a peer could make up any number of these
			method = "unknown"
		}
		fmt.Println("begins:", method)
		return nil // or a function that is told how the call has ended
	}}
	address, stop := serve(ttrpc.WithServerTrace(trace))
	defer stop()
	client := connect(address)
	defer client.Close()

	var answer streaming.EchoPayload
	client.Call(context.Background(), "made.Up", "Method", &streaming.EchoPayload{}, &answer)
	client.Close()
	// Output: begins: unknown
}
