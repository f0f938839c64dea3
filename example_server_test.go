// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A handler's panic ends its call alone, and the log has it with its stack.
func ExampleWithRecoverPanics() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.LevelKey || a.Key == slog.MessageKey || a.Key == "panic" {
				return a
			}
			return slog.Attr{} // the time, the stack
		},
	}))
	server, err := ttrpc.NewServer(ttrpc.WithRecoverPanics(), ttrpc.WithServerLogger(logger))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Faulty", map[string]ttrpc.Method{
		"Do": func(context.Context, func(any) error) (any, error) { panic("no such shelf") },
	})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()
	err = client.Call(context.Background(), "example.Faulty", "Do", wrapperspb.String(""), new(wrapperspb.StringValue))
	fmt.Println(status.Code(err), client.Cause())
	// Output:
	// level=ERROR msg="ttrpc: panic in a handler" panic="no such shelf"
	// Internal <nil>
}

// A handler that changes its thread, its namespaces for example, and leaves it locked: the
// thread ends with the handler, and no other handler runs on it.
func ExampleWithGoroutinePerCall() {
	server, err := ttrpc.NewServer(ttrpc.WithGoroutinePerCall())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Namespaces", map[string]ttrpc.Method{
		"Enter": func(context.Context, func(any) error) (any, error) {
			runtime.LockOSThread() // and unix.Setns, elsewhere
			return wrapperspb.String("done"), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()
	answer := new(wrapperspb.StringValue)
	err = client.Call(context.Background(), "example.Namespaces", "Enter", wrapperspb.String(""), answer)
	fmt.Println(answer.Value, err)
	// Output: done <nil>
}

// A client that asks for the extended mode tells its logger if the server does not agree
// and something was asked for that then cannot work.
func ExampleWithClientLogger() {
	server, err := ttrpc.NewServer() // without WithServerExtensions
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	read, write := io.Pipe()
	logger := slog.New(slog.NewTextHandler(write, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
				return a
			}
			return slog.Attr{}
		},
	}))
	client := ttrpc.NewClient(near, ttrpc.WithClientLogger(logger),
		ttrpc.WithKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second}))
	defer client.Close()
	line, err := bufio.NewReader(read).ReadString('\n')
	fmt.Print(line, err)
	// Output:
	// level=WARN msg="ttrpc: the peer does not agree to the extended mode"
	// <nil>
}

// Handlers of callers that set no deadline get one.
func ExampleWithServerTimeouts() {
	server, err := ttrpc.NewServer(ttrpc.WithServerTimeouts(ttrpc.Timeouts{Call: time.Millisecond}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Slow", map[string]ttrpc.Method{
		"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()
	err = client.Call(context.Background(), "example.Slow", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
	fmt.Println(status.Code(err))
	// Output: DeadlineExceeded
}

// The keys of metadata are lower case; each may have several values.
func ExampleMD() {
	md := ttrpc.MD{}
	md.Set("Tenant", "north")
	md.Append("hop", "first")
	md.Append("hop", "second")
	ctx := ttrpc.WithMetadata(context.Background(), md) // calls made with it carry a copy
	md.Set("tenant", "south")

	sent, _ := ttrpc.GetMetadata(ctx)
	hops, ok := sent.Get("Hop")
	fmt.Println(sent, hops, ok)

	more := sent.Clone() // what a context has is not to be changed
	more.Append("hop", "third")
	fmt.Println(more)
	// Output:
	// map[hop:[first second] tenant:[north]] [first second] true
	// map[hop:[first second third] tenant:[north]]
}
