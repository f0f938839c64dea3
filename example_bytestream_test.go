// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// A tunnel is somebody's conn that is a true byte stream.
type tunnel struct{ net.Conn }

// IsByteStream implements ttrpc.ByteStreamConn.
func (tunnel) IsByteStream() bool { return true }

func ExampleByteStreamConn() {
	near, far := net.Pipe()
	server := serveOn(tunnel{far})
	defer server.Close()
	client := ttrpc.NewClient(tunnel{near})
	defer client.Close()

	answer := new(wrapperspb.StringValue)
	err := client.Call(context.Background(), "demo.Echo", "Echo", wrapperspb.String("hello"), answer)
	fmt.Println(answer.Value, err)
	// Output: hello <nil>
}

func ExampleByteStream() {
	near, far := net.Pipe() // which has deadlines, and does not say so
	server := serveOn(ttrpc.ByteStream(far))
	defer server.Close()
	client := ttrpc.NewClient(ttrpc.ByteStream(near))
	defer client.Close()

	answer := new(wrapperspb.StringValue)
	err := client.Call(context.Background(), "demo.Echo", "Echo", wrapperspb.String("hello"), answer)
	fmt.Println(answer.Value, err)
	// Output: hello <nil>
}

// serveOn serves one connection.
func serveOn(conn net.Conn) *ttrpc.Server {
	server, err := ttrpc.NewServer()
	if err != nil {
		panic(err)
	}
	server.Register("demo.Echo", map[string]ttrpc.Method{
		"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
			m := new(wrapperspb.StringValue)
			return m, unmarshal(m)
		},
	})
	l := &oneListener{conns: make(chan net.Conn, 1)}
	l.conns <- conn
	go server.Serve(context.Background(), l)
	return server
}

// A oneListener accepts one conn.
type oneListener struct {
	conns  chan net.Conn
	closed sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *oneListener) Close() error {
	l.closed.Do(func() { close(l.conns) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
