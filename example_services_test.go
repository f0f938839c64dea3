// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A handler of unknown services needs no types. This one sends back what it gets; see
// example/proxy for one that passes calls of every kind on to another server.
func ExampleWithUnknownServiceHandler() {
	echo := func(ctx context.Context, call *ttrpc.UnknownCall, stream ttrpc.StreamServer) (any, error) {
		fmt.Printf("%s of %s: %s", call.Method, call.Service, map[bool]string{true: "a call", false: "a stream"}[call.Unary])
		m := new(ttrpc.RawMessage)
		if err := stream.RecvMsg(m); err != nil {
			return nil, err
		}
		fmt.Printf(" with %d bytes\n", len(m.Payload))
		return m, nil // the answer
	}
	server, err := ttrpc.NewServer(ttrpc.WithUnknownServiceHandler(echo))
	check(err)
	l, remove := listen()
	defer remove()
	go server.Serve(context.Background(), l)
	defer server.Close()
	client := connect(l.Addr().String())
	defer client.Close()

	answer, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"})
	check(err)
	fmt.Println(answer.Msg)
	// Output:
	// Echo of ttrpc.integration.streaming.Streaming: a call with 7 bytes
	// hello
}

func ExampleServer_Services() {
	server, err := ttrpc.NewServer()
	check(err)
	streaming.RegisterStreamingService(server, streaming.Service{})
	for _, service := range server.Services() {
		fmt.Println(service.Name)
		for _, m := range service.Methods {
			fmt.Println("-", m.Name, m.Unary, m.StreamingClient, m.StreamingServer)
		}
	}
	// Output:
	// ttrpc.integration.streaming.Streaming
	// - DivideStream false false true
	// - Echo true false false
	// - EchoNull false true false
	// - EchoNullStream false true true
	// - EchoStream false true true
	// - EmptyPayloadStream false false true
	// - SumStream false true false
}
