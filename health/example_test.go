// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/health"
)

// A server tells of itself and of one service, and a client asks.
func Example() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	states := health.New()
	states.Register(server)
	states.Set("example.Store", health.NotServing) // until it has read its data

	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	ctx := context.Background()
	fmt.Println(health.Check(ctx, client, ""))
	fmt.Println(health.Check(ctx, client, "example.Store"))
	fmt.Println(health.Check(ctx, client, "example.Other"))
	states.Set("example.Store", health.Serving)
	fmt.Println(health.List(ctx, client))
	// Output:
	// SERVING <nil>
	// NOT_SERVING <nil>
	// UNKNOWN rpc error: code = NotFound desc = unknown service "example.Other"
	// map[:SERVING example.Store:SERVING] <nil>
}

// A client follows a service until the server shuts down.
func ExampleWatch() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	states := health.New()
	states.Register(server)
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	for state, err := range health.Watch(context.Background(), client, "example.Store") {
		fmt.Println(state, err)
		switch state {
		case health.ServiceUnknown:
			states.Set("example.Store", health.Serving)
		case health.Serving:
			go server.Shutdown(context.Background())
		}
	}
	// Output:
	// SERVICE_UNKNOWN <nil>
	// SERVING <nil>
	// NOT_SERVING <nil>
	// UNKNOWN rpc error: code = Unavailable desc = the server is shutting down
}

// Before a server shuts down, its clients may be told to go elsewhere.
func ExampleService_Shutdown() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	states := health.New()
	states.Register(server)
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	states.Shutdown() // the server still answers
	fmt.Println(health.Check(context.Background(), client, ""))
	states.Resume() // as it is not to shut down after all
	fmt.Println(health.Check(context.Background(), client, ""))
	fmt.Println(server.Shutdown(context.Background()))
	// Output:
	// NOT_SERVING <nil>
	// SERVING <nil>
	// <nil>
}
