// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package debugpage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/debugpage"
)

// A daemon with a page about its server and a client, and a program that reads the page.
func Example() {
	page := debugpage.New(debugpage.WithoutFrames()) // nobody is to see what is said
	server, err := ttrpc.NewServer(ttrpc.WithServerTrace(page.Trace()))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	defer page.AddServer("greeter", server)()
	started := make(chan struct{})
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(context.Context, func(any) error) (any, error) { return wrapperspb.String("hello"), nil },
		"Sleep": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/debug/ttrpc", page) // and http.Serve on a unix socket of one's own

	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()
	defer page.AddClient("caller", client)()
	if err := client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String(""), new(wrapperspb.StringValue)); err != nil {
		log.Fatal(err)
	}
	go client.Call(context.Background(), "example.Greeter", "Sleep", wrapperspb.String(""), new(wrapperspb.StringValue))
	<-started

	response := httptest.NewRecorder() // curl, elsewhere
	mux.ServeHTTP(response, httptest.NewRequest("GET", "/debug/ttrpc?"+url.Values{"format": {"json"}}.Encode(), nil))
	var seen struct {
		Conns   []struct{ Source, State string }
		Longest []struct {
			FullMethod string
			Served     bool
			Age        float64 // seconds
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&seen); err != nil {
		log.Fatal(err)
	}
	fmt.Println(seen.Conns)
	for _, call := range seen.Longest {
		if call.Served {
			fmt.Println(call.FullMethod, call.Age < 60)
		}
	}
	// Output:
	// [{greeter active} {caller active}]
	// /example.Greeter/Sleep true
}
