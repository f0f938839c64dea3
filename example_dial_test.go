// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A client of Dial outlives the server that it calls, and may be there before it.
func ExampleDial() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := "unix:" + filepath.Join(dir, "socket")
	client, err := ttrpc.Dial(address, ttrpc.WithExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for _, greeting := range []string{"hello", "hello again"} {
		server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
		if err != nil {
			log.Fatal(err)
		}
		server.Register("example.Greeter", map[string]ttrpc.Method{
			"Greet": func(context.Context, func(any) error) (any, error) { return wrapperspb.String(greeting), nil },
		})
		l, err := ttrpc.ListenAddress(context.Background(), address)
		if err != nil {
			log.Fatal(err)
		}
		go server.Serve(context.Background(), l)

		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // waits no longer for a server
		answer := new(wrapperspb.StringValue)
		err = client.Call(ctx, "example.Greeter", "Greet", wrapperspb.String("Ada"), answer)
		cancel()
		fmt.Println(answer.Value, err)
		if err := server.Shutdown(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// hello <nil>
	// hello again <nil>
}

// A dialer of one's own, which at first does not succeed, and what is told of it.
func ExampleDialer() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	var attempts atomic.Int32
	events := make(chan ttrpc.ConnectionEvent, 100)
	client, err := ttrpc.Dial("machine-7", ttrpc.WithDialer(ttrpc.Dialer{
		Dial: func(_ context.Context, target string) (net.Conn, error) {
			if attempts.Add(1) == 1 {
				return nil, errors.New(target + " is still booting")
			}
			near, far := net.Pipe()
			go server.ServeConn(context.Background(), far)
			return near, nil
		},
		Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: time.Second},
		Events:  func(e ttrpc.ConnectionEvent) { events <- e },
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for range 4 {
		e := <-events
		fmt.Println(e.Kind, e.Err)
	}
	// Output:
	// connecting <nil>
	// failed machine-7 is still booting
	// connecting <nil>
	// connected <nil>
}

// A call that may run more than once is made again when its connection was lost.
func ExampleRepeatable() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	conns := make(chan net.Conn, 2)
	var runs atomic.Int32
	server.Register("example.Counter", map[string]ttrpc.Method{
		"Read": func(context.Context, func(any) error) (any, error) {
			if runs.Add(1) == 1 {
				(<-conns).Close() // the first connection is lost while the call runs
			}
			return wrapperspb.Int32(42), nil
		},
	})
	client, err := ttrpc.Dial("anywhere", ttrpc.WithDialer(ttrpc.Dialer{
		Dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go server.ServeConn(context.Background(), far)
			conns <- near
			return near, nil
		},
		Backoff: ttrpc.Backoff{Min: time.Millisecond, Max: time.Second},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer := new(wrapperspb.Int32Value)
	ctx := ttrpc.Repeatable(context.Background())
	err = client.Call(ctx, "example.Counter", "Read", wrapperspb.String(""), answer)
	fmt.Println(answer.Value, err, "after", runs.Load(), "runs")
	// Output: 42 <nil> after 2 runs
}

// Of a client whose calls wait for a connection one call does not.
func ExampleWaitForConnection() {
	refused := errors.New("nobody listens")
	client, err := ttrpc.Dial("anywhere", ttrpc.WithDialer(ttrpc.Dialer{
		Dial: func(context.Context, string) (net.Conn, error) { return nil, refused },
	}), ttrpc.WithClientLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := ttrpc.WaitForConnection(context.Background(), false)
	err = client.Call(ctx, "example.Counter", "Read", wrapperspb.String(""), new(wrapperspb.Int32Value))
	fmt.Println(err)
	// Output: ttrpc: not executed: no connection: nobody listens
}
