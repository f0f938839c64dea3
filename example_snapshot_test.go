// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// What a client's connection has done, and what is under way on it.
func ExampleClient_Snapshot() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	service := streaming.NewStreamingClient(client)
	if _, err := service.Echo(ctx, &streaming.EchoPayload{}); err != nil {
		log.Fatal(err)
	}
	stream, err := service.EchoStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := stream.Send(&streaming.EchoPayload{Msg: "hi"}); err != nil {
		log.Fatal(err)
	}

	snap := client.Snapshot()
	fmt.Printf("%+v\n", snap.Made)
	for _, s := range snap.Streams {
		fmt.Println(s.FullMethod, s.State, s.Sent.Messages, time.Since(s.Start) < time.Minute, time.Until(s.Deadline) > 0)
	}
	// Output:
	// {OK:1 Failed:0 Canceled:0 Deadline:0 Refused:0}
	// /ttrpc.integration.streaming.Streaming/EchoStream open 1 true true
}

// A Trace is told when a call begins, and by the function that it returns how it has ended.
func ExampleTrace() {
	ended := make(chan error)
	trace := &ttrpc.Trace{Call: func(call ttrpc.CallInfo) func(error) {
		fmt.Println("begins:", call.FullMethod, call.Known)
		return func(err error) { ended <- err }
	}}
	server, err := ttrpc.NewServer(ttrpc.WithServerTrace(trace))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	var answer streaming.EchoPayload
	go client.Call(context.Background(), "made.Up", "Method", &streaming.EchoPayload{}, &answer)
	fmt.Println("ends:", <-ended)
	// Output:
	// begins: /made.Up/Method false
	// ends: rpc error: code = Unimplemented desc = service made.Up
}
