// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A handler that would wait for ever lets the server go when it shuts down.
func ExampleDrainingFromContext() {
	server, err := ttrpc.NewServer()
	check(err)
	started := make(chan struct{})
	server.Register("events", map[string]ttrpc.Method{
		"Next": func(ctx context.Context, _ func(any) error) (any, error) {
			close(started)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-ttrpc.DrainingFromContext(ctx):
				return wrapperspb.String("no more events here"), nil
			}
		},
	})
	l, remove := listen()
	defer remove()
	go server.Serve(context.Background(), l)

	client := connect(l.Addr().String())
	go func() {
		<-started
		check(server.Shutdown(context.Background()))
	}()
	answer := new(wrapperspb.StringValue)
	check(client.Call(context.Background(), "events", "Next", wrapperspb.String(""), answer))
	fmt.Println(answer.Value)
	<-client.Draining() // on a classic connection once it has ended
	// Output: no more events here
}

// A receive that waits no longer than a context lasts leaves the stream as it was.
func ExampleWithin() {
	address, stop := serve()
	defer stop()
	client := connect(address)
	defer client.Close()
	stream, err := streaming.NewStreamingClient(client).EchoStream(context.Background())
	check(err)

	answer := new(streaming.EchoPayload)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	fmt.Println(stream.RecvMsg(ttrpc.Within(ctx, answer)))

	check(stream.Send(&streaming.EchoPayload{Seq: 1, Msg: "hello"}))
	check(stream.RecvMsg(answer))
	fmt.Println(answer.Msg)
	// Output:
	// context deadline exceeded
	// hello
}

// A server that dials: the client, which makes the calls, has accepted the connection.
func ExampleServer_ServeConn() {
	l, remove := listen()
	defer remove()
	served := make(chan error)
	go func() {
		server, err := ttrpc.NewServer()
		check(err)
		defer server.Close()
		streaming.RegisterStreamingService(server, streaming.Service{})
		conn, err := net.Dial("unix", l.Addr().String())
		check(err)
		served <- server.ServeConn(context.Background(), conn)
	}()

	conn, err := l.Accept()
	check(err)
	client := ttrpc.NewClient(conn)
	answer, err := streaming.NewStreamingClient(client).
		Echo(context.Background(), &streaming.EchoPayload{Seq: 1, Msg: "hello"})
	check(err)
	fmt.Println(answer.Msg)
	client.Close()
	fmt.Println("served:", <-served)
	// Output:
	// hello
	// served: <nil>
}

// A topic sends what is published to all who follow it. They cost no goroutine: the handler
// keeps their streams and returns.
type topic struct {
	mu        sync.Mutex
	followers []*ttrpc.DetachedStream
}

func (t *topic) follow(ctx context.Context, _ ttrpc.StreamServer) (any, error) {
	s, err := ttrpc.Detach(ctx)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers = append(t.followers, s)
	return nil, s.SendMsg(wrapperspb.String("welcome"))
}

func (t *topic) publish(news string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.followers {
		s.SendMsg(wrapperspb.String(news)) // an error tells that the follower has gone
	}
}

func (t *topic) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.followers {
		s.End(nil, nil)
	}
	t.followers = nil
}

func ExampleDetach() {
	server, err := ttrpc.NewServer()
	check(err)
	defer server.Close()
	t := new(topic)
	server.RegisterService("news", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Follow": {Handler: t.follow, StreamingServer: true},
	}})
	l, remove := listen()
	defer remove()
	go server.Serve(context.Background(), l)

	client := connect(l.Addr().String())
	defer client.Close()
	stream, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingServer: true}, "news", "Follow", nil)
	check(err)
	news := new(wrapperspb.StringValue)
	check(stream.RecvMsg(news))
	fmt.Println(news.Value)
	t.publish("nothing new")
	check(stream.RecvMsg(news))
	fmt.Println(news.Value)
	t.close()
	fmt.Println(stream.RecvMsg(news))
	// Output:
	// welcome
	// nothing new
	// EOF
}
