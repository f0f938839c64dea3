// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/websocket"
)

// greeter has a service that knows the names of its clients from their requests.
func greeter() *ttrpc.Server {
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(transport.Handshaker(nil)))
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Hello": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			name := peer.AuthInfo.(*transport.AuthInfo).Header.Get("X-Name")
			return wrapperspb.String("hello " + name), nil
		},
	})
	return server
}

// A ttrpc server is one path of an HTTP server, and a client connects to it again whenever
// the connection is lost.
func Example() {
	listener := new(websocket.Listener)
	server := greeter()
	go server.Serve(context.Background(), listener)
	defer server.Close()

	mux := http.NewServeMux()
	mux.Handle("/ttrpc", listener)
	site := httptest.NewServer(mux)
	defer site.Close()

	dialer := websocket.Dialer{Header: http.Header{"X-Name": {"Ada"}}}
	url := "ws" + strings.TrimPrefix(site.URL, "http") + "/ttrpc"
	client, err := ttrpc.Dial(url, ttrpc.WithDialer(ttrpc.Dialer{Dial: dialer.Dial}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var greeting wrapperspb.StringValue
	if err := client.Call(context.Background(), "example.Greeter", "Hello", wrapperspb.String(""), &greeting); err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting.Value)
	// Output: hello Ada
}

// A conn is a stream of bytes, for anything.
func ExampleDial() {
	listener := new(websocket.Listener)
	site := httptest.NewServer(listener)
	defer site.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "what comes of it\n")
		conn.Close()
	}()

	conn, err := websocket.Dial(context.Background(), "ws"+strings.TrimPrefix(site.URL, "http"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// what comes of it
	// <nil>
}

// A page may come from another host than its websocket.
func ExampleListener_origins() {
	listener := &websocket.Listener{Origins: []string{"https://*.example.com"}}
	site := httptest.NewServer(listener)
	defer site.Close()

	page := websocket.Dialer{Header: http.Header{"Origin": {"https://evil.example"}}}
	_, err := page.Dial(context.Background(), "ws"+strings.TrimPrefix(site.URL, "http"))
	fmt.Println(strings.Contains(err.Error(), `403 Forbidden: request Origin "evil.example" is not authorized`))
	// Output: true
}
