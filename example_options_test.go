// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/status"

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
	address, stop := serve()
	defer stop()
	client := connect(address, ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second}))
	defer client.Close()
	pings, err := client.Extended(context.Background())
	check(err)
	fmt.Println(pings)
	// Output: true
}

// A client that does not wait for a server that is not there.
func ExampleWithDialer() {
	address, stop := serve()
	stop()
	failed := make(chan struct{}, 1)
	client, err := ttrpc.Dial("unix:"+address, ttrpc.WithDialer(ttrpc.Dialer{
		FailFast: true,
		Backoff:  ttrpc.Backoff{Max: time.Minute},
		Events: func(e ttrpc.ConnectionEvent) {
			if e.Kind == ttrpc.EventFailed {
				failed <- struct{}{}
			}
		},
	}))
	check(err)
	defer client.Close()
	<-failed
	_, err = streaming.NewStreamingClient(client).Echo(context.Background(), new(streaming.EchoPayload))
	fmt.Println(status.Code(err))
	// Output: Unavailable
}
