// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A server that takes large messages, and few of them at once.
func ExampleWithServerLimits() {
	address, stop := serve(ttrpc.WithServerLimits(ttrpc.Limits{
		MessageSize: 8 << 20,
		Handlers:    16,
		Queue:       ttrpc.StreamQueue{ConnectionBytes: 16 << 20},
	}))
	defer stop()
	client := connect(address, ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 8 << 20}))
	defer client.Close()
	answer, err := streaming.NewStreamingClient(client).
		Echo(context.Background(), &streaming.EchoPayload{Msg: strings.Repeat("x", 5<<20)})
	check(err)
	fmt.Println(len(answer.Msg))
	// Output: 5242880
}

// Calls whose context has no deadline get one.
func ExampleWithClientTimeouts() {
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, _ ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, _ ttrpc.Method) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
	defer stop()
	client := connect(address, ttrpc.WithClientTimeouts(ttrpc.Timeouts{Call: time.Millisecond}))
	defer client.Close()
	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), new(streaming.EchoPayload))
	fmt.Println(err)
	// Output: context deadline exceeded
}

// A client that finds out within 15 s that the server is stopped.
func ExampleWithKeepalive() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second}))
	defer client.Close()
	fmt.Println(client.Extended(context.Background())) // else no pings are sent
	// Output: true <nil>
}

// A client that does not wait for a server that is not there.
func ExampleWithDialer() {
	failed := make(chan error, 1)
	client, err := ttrpc.Dial("unix:/nowhere/socket", ttrpc.WithDialer(ttrpc.Dialer{
		FailFast: true,
		Backoff:  ttrpc.Backoff{Max: time.Minute},
		Events: func(e ttrpc.ConnectionEvent) {
			if e.Kind == ttrpc.EventFailed {
				select {
				case failed <- e.Err:
				default: // not the first one
				}
			}
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(<-failed)
	err = client.Call(context.Background(), "example.Any", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
	fmt.Println(status.Code(err), errors.Is(err, ttrpc.ErrNotExecuted))
	// Output:
	// dial unix /nowhere/socket: connect: no such file or directory
	// Unavailable true
}

// A package whose services need the extended mode says so before anything is served.
func ExampleTakesExtensions() {
	for _, opts := range [][]ttrpc.ServerOpt{nil, {ttrpc.WithServerExtensions()}} {
		server, err := ttrpc.NewServer(opts...)
		check(err)
		fmt.Println(ttrpc.TakesExtensions(server))
	}
	// Output:
	// false
	// true
}
