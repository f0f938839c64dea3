// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// In extended mode a handler is told when its caller gives up, and why.
func ExampleWithExtensions() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	started, told := make(chan struct{}), make(chan error)
	server.Register("example.Slow", map[string]ttrpc.Method{
		"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			<-ctx.Done()
			told <- context.Cause(ctx)
			return nil, ctx.Err()
		},
	})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	defer client.Close()

	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-started
		cancel(errors.New("nobody waits any longer"))
	}()
	err = client.Call(ctx, "example.Slow", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
	fmt.Println("the caller:", err)
	fmt.Println("the handler:", <-told)
	// Output:
	// the caller: context canceled: nobody waits any longer
	// the handler: context canceled: nobody waits any longer
}

// Who wants to know whether the other end has agreed asks.
func ExampleClient_Extended() {
	for _, opts := range [][]ttrpc.ServerOpt{{ttrpc.WithServerExtensions()}, nil} {
		server, err := ttrpc.NewServer(opts...)
		if err != nil {
			log.Fatal(err)
		}
		defer server.Close()
		near, far := net.Pipe()
		go server.ServeConn(context.Background(), far)
		client := ttrpc.NewClient(near, ttrpc.WithExtensions())
		defer client.Close()
		fmt.Println(client.Extended(context.Background()))
	}
	// Output:
	// true <nil>
	// false <nil>
}

// A server that cannot do its work without the extended mode says so to others.
func ExampleWithExtensionsRequired() {
	server, err := ttrpc.NewServer(ttrpc.WithExtensionsRequired())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near) // without WithExtensions
	defer client.Close()
	err = client.Call(context.Background(), "example.Any", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
	fmt.Println(status.Code(err))
	// Output: FailedPrecondition
}

// A server that finds out within 15 s that a client is stopped, and parts from clients
// that ask more than once a second whether it is alive itself.
func ExampleWithServerKeepalive() {
	server, err := ttrpc.NewServer(ttrpc.WithServerKeepalive(ttrpc.Keepalive{
		Interval:    10 * time.Second,
		Timeout:     5 * time.Second,
		MinInterval: time.Second,
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions()) // whose answers show that it is alive
	defer client.Close()
	fmt.Println(client.Extended(context.Background()))
	// Output: true <nil>
}

// A client that shuts down lets its calls, and those that the server makes to it, finish.
func ExampleClient_Shutdown() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	started := make(chan struct{})
	server.Register("example.Work", map[string]ttrpc.Method{
		"Do": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			<-ttrpc.DrainingFromContext(ctx) // the client has said goodbye
			return wrapperspb.String("done"), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())

	answer, called := new(wrapperspb.StringValue), make(chan error)
	go func() {
		called <- client.Call(context.Background(), "example.Work", "Do", wrapperspb.String(""), answer)
	}()
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Shutdown(ctx); err != nil {
		client.Close() // ends the calls that took too long
	}
	fmt.Println(<-called, answer.Value)
	// Output: <nil> done
}

// What a server has refused because it shuts down was certainly not executed.
func ExampleErrNotExecuted() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	started, finish := make(chan struct{}), make(chan struct{})
	server.Register("example.Work", map[string]ttrpc.Method{
		"Do": func(context.Context, func(any) error) (any, error) {
			close(started)
			<-finish
			return wrapperspb.String("done"), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	defer client.Close()

	call := func() (string, error) {
		answer := new(wrapperspb.StringValue)
		err := client.Call(context.Background(), "example.Work", "Do", wrapperspb.String(""), answer)
		return answer.Value, err
	}
	first := make(chan string)
	go func() {
		answer, err := call()
		first <- fmt.Sprint(answer, " ", err)
	}()
	<-started
	go server.Shutdown(context.Background())
	<-client.Draining() // the goodbye was heard
	_, err = call()
	fmt.Println(errors.Is(err, ttrpc.ErrNotExecuted), status.Code(err) == codes.Unavailable)
	close(finish)
	fmt.Println(<-first)
	// Output:
	// true true
	// done <nil>
}

// A stream whose receiver is slow slows its sender, and loses nothing. Without the
// extended mode it would fail with ErrStreamFull.
func ExampleStreamQueue() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	const messages = 10_000
	server.RegisterService("example.Ticks", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Watch": {StreamingServer: true, Handler: func(_ context.Context, stream ttrpc.StreamServer) (any, error) {
			if err := stream.RecvMsg(new(wrapperspb.StringValue)); err != nil {
				return nil, err
			}
			for i := range messages {
				if err := stream.SendMsg(wrapperspb.Int64(int64(i))); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
	}})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{
		Queue: ttrpc.StreamQueue{Window: 64 << 10}, // what is kept of what was not received yet
	}))
	defer client.Close()

	stream, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true},
		"example.Ticks", "Watch", wrapperspb.String(""))
	if err != nil {
		log.Fatal(err)
	}
	n := 0
	for ; err == nil; n++ {
		err = stream.RecvMsg(new(wrapperspb.Int64Value))
	}
	fmt.Println(n-1, err)
	// Output: 10000 EOF
}
