// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A handler that would wait for ever lets the server go when it shuts down.
func ExampleDrainingFromContext() {
	server, err := ttrpc.NewServer()
	check(err)
	started := make(chan struct{})
	server.Register("events", map[string]ttrpc.Method{
		"Next": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-ttrpc.DrainingFromContext(ctx):
				return wrapperspb.String("no more events here"), nil
			}
		},
	})
	l, remove := listen()
	defer remove()
	go server.Serve(context.Background(), l)

	client := connect(l.Addr().String())
	go func() {
		<-started
		check(server.Shutdown(context.Background()))
	}()
	answer := new(wrapperspb.StringValue)
	check(client.Call(context.Background(), "events", "Next", wrapperspb.String(""), answer))
	fmt.Println(answer.Value)
	<-client.Draining() // on a classic connection once it has ended
	// Output: no more events here
}

// A receive that waits no longer than a context lasts leaves the stream as it was.
func ExampleWithin() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()
	stream, err := streaming.NewStreamingClient(client).EchoStream(context.Background())
	check(err)

	answer := new(streaming.EchoPayload)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(stream.RecvMsg(ttrpc.Within(ctx, answer)))

	check(stream.Send(&streaming.EchoPayload{Seq: 1, Msg: "hello"}))
	check(stream.RecvMsg(answer))
	fmt.Println(answer.Msg)
	// Output:
	// context deadline exceeded
	// hello
}
