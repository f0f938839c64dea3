// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A debug page: all that a server's connections are doing, as JSON.
func ExampleServer_Snapshot() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	started := make(chan struct{})
	server.Register("example.Slow", map[string]ttrpc.Method{
		"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(server.Snapshot())
	})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()
	go client.Call(context.Background(), "example.Slow", "Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
	<-started

	response := httptest.NewRecorder() // a browser, elsewhere
	page.ServeHTTP(response, httptest.NewRequest("GET", "/debug/ttrpc", nil))
	var conns []struct {
		State   string
		Streams []struct{ FullMethod string }
	}
	if err := json.NewDecoder(response.Body).Decode(&conns); err != nil {
		log.Fatal(err)
	}
	for _, c := range conns {
		fmt.Println(c.State, c.Streams)
	}
	// Output: active [{/example.Slow/Wait}]
}

// Counts of a server's calls by method and outcome, for metrics.
func ExampleWithServerTrace() {
	var mu sync.Mutex
	var running sync.WaitGroup
	counts := make(map[string]int)
	trace := &ttrpc.Trace{Call: func(call ttrpc.CallInfo) func(error) {
		method := call.FullMethod
		if !call.Known { // a peer could make up any number of these
			method = "unknown"
		}
		began := time.Now()
		running.Add(1)
		return func(err error) {
			defer running.Done()
			mu.Lock()
			defer mu.Unlock()
			counts[method+" "+status.Code(err).String()]++
			_ = time.Since(began) // into a histogram, elsewhere
		}
	}}
	server, err := ttrpc.NewServer(ttrpc.WithServerTrace(trace))
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(context.Context, func(any) error) (any, error) { return wrapperspb.String("hello"), nil },
	})
	near, far := net.Pipe()
	served := make(chan error)
	go func() { served <- server.ServeConn(context.Background(), far) }()
	client := ttrpc.NewClient(near)
	for _, method := range []string{"Greet", "Greet", "MadeUp"} {
		client.Call(context.Background(), "example.Greeter", method, wrapperspb.String(""), new(wrapperspb.StringValue))
	}
	client.Close()
	<-served
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}

	running.Wait() // a call ends a moment after its answer has left
	fmt.Println(counts)
	// Output: map[/example.Greeter/Greet OK:2 unknown Unimplemented:1]
}

// The frames of a connection, as they leave and come, and why it has ended.
func ExampleWithClientTrace() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(context.Context, func(any) error) (any, error) { return wrapperspb.String("hello"), nil },
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	ended := make(chan error, 1)
	client := ttrpc.NewClient(near, ttrpc.WithClientTrace(&ttrpc.Trace{
		Conn: func(ttrpc.ConnInfo) func(error) {
			return func(cause error) { ended <- cause }
		},
		Frame: func(f ttrpc.FrameInfo) {
			fmt.Printf("sent %t: stream %d, type %#x, flags %#x\n", f.Sent, f.StreamID, f.Type, f.Flags)
		},
	}))
	client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String(""), new(wrapperspb.StringValue))
	client.Close()
	fmt.Println("ended:", <-ended)
	// Output:
	// sent true: stream 1, type 0x1, flags 0x0
	// sent false: stream 1, type 0x2, flags 0x0
	// ended: ttrpc: closed
}
