// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A client that registers itself on each of its connections. Events must not wait for a call,
// so it leaves a note, and a loop makes the call.
func ExampleDialer_registration() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	conns := make(chan net.Conn, 10)
	server.Register("example.Registry", map[string]ttrpc.Method{
		"Register": func(_ context.Context, unmarshal func(any) error) (any, error) {
			name := new(wrapperspb.StringValue)
			if err := unmarshal(name); err != nil {
				return nil, err
			}
			fmt.Println(name.Value, "registers")
			return name, nil
		},
	})

	connected := make(chan struct{}, 1)
	client, err := ttrpc.Dial("the registry", ttrpc.WithDialer(ttrpc.Dialer{
		Dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go server.ServeConn(context.Background(), far)
			conns <- near
			return near, nil
		},
		Events: func(e ttrpc.ConnectionEvent) {
			if e.Kind == ttrpc.EventConnected {
				select {
				case connected <- struct{}{}:
				default: // there is a note already
				}
			}
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for range 2 {
		<-connected
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := client.Call(ctx, "example.Registry", "Register", wrapperspb.String("printer"), new(wrapperspb.StringValue))
		cancel()
		if err != nil {
			log.Print(err) // of a connection that is lost: there will be another note
		}
		(<-conns).Close() // the connection is lost
	}
	// Output:
	// printer registers
	// printer registers
}

// Errors as statuses, for callers that look at their codes, on a classic connection.
func ExampleWithStatusErrors() {
	near, far := net.Pipe()
	client := ttrpc.NewClient(near, ttrpc.WithStatusErrors())
	far.Close() // the server goes

	<-client.Draining()
	err := client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String("Ada"), new(wrapperspb.StringValue))
	fmt.Println(status.Code(err) == codes.Unavailable, err)
	// Output: true ttrpc: closed: the peer has closed the connection
}
