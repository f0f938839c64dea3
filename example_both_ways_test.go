// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A client answers calls, too. This handler tells its caller how far it is.
func ExampleWithClientServices() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Work", map[string]ttrpc.Method{
		"Do": func(ctx context.Context, _ func(any) error) (any, error) {
			caller, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			for _, step := range []string{"half of it", "nearly all"} {
				if err := caller.Call(ctx, "example.Progress", "Report", wrapperspb.String(step), new(wrapperspb.StringValue)); err != nil {
					return nil, err
				}
			}
			return wrapperspb.String("done"), nil
		},
	})
	services, err := ttrpc.NewServer() // what the client answers
	if err != nil {
		log.Fatal(err)
	}
	services.Register("example.Progress", map[string]ttrpc.Method{
		"Report": func(_ context.Context, unmarshal func(any) error) (any, error) {
			step := new(wrapperspb.StringValue)
			if err := unmarshal(step); err != nil {
				return nil, err
			}
			fmt.Println("reported:", step.Value)
			return wrapperspb.String(""), nil
		},
	})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithClientServices(services))
	defer client.Close()

	answer := new(wrapperspb.StringValue)
	err = client.Call(context.Background(), "example.Work", "Do", wrapperspb.String(""), answer)
	fmt.Println(answer.Value, err)
	// Output:
	// reported: half of it
	// reported: nearly all
	// done <nil>
}

// With generated code a call to the caller is as short as any other.
func ExampleClientFromContext() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Mirror", map[string]ttrpc.Method{
		"Look": func(ctx context.Context, _ func(any) error) (any, error) {
			caller, err := ttrpc.ClientFromContext(ctx, streaming.NewStreamingClient)
			if err != nil {
				return nil, err
			}
			return caller.Echo(ctx, &streaming.EchoPayload{Msg: "hello"})
		},
	})
	services, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	streaming.RegisterStreamingService(services, streaming.Service{})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithClientServices(services))
	defer client.Close()

	answer := new(streaming.EchoPayload)
	err = client.Call(context.Background(), "example.Mirror", "Look", wrapperspb.String(""), answer)
	fmt.Println(answer.Msg, err)
	// Output: hello <nil>
}

// Who does not answer calls, or could not, is told apart.
func ExamplePeerClient() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Ask", map[string]ttrpc.Method{
		"Back": func(ctx context.Context, _ func(any) error) (any, error) {
			caller, err := ttrpc.PeerClient(ctx)
			if err != nil {
				return nil, err
			}
			err = caller.Call(ctx, "example.None", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
			if errors.Is(err, ttrpc.ErrPeerClassic) {
				return wrapperspb.String("the caller is classic"), nil
			}
			return wrapperspb.String(err.Error()), nil
		},
	})
	for _, opts := range [][]ttrpc.ClientOpts{nil, {ttrpc.WithExtensions()}} {
		near, far := net.Pipe()
		go server.ServeConn(context.Background(), far)
		client := ttrpc.NewClient(near, opts...)
		defer client.Close()
		answer := new(wrapperspb.StringValue)
		if err := client.Call(context.Background(), "example.Ask", "Back", wrapperspb.String(""), answer); err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Value)
	}
	// Output:
	// the caller is classic
	// rpc error: code = Unimplemented desc = ttrpc: the peer answers no calls
}

// A server that calls whoever connects, without being called first.
func ExampleWithConnectionHook() {
	greeted := make(chan string)
	server, err := ttrpc.NewServer(ttrpc.WithConnectionHook(func(ctx context.Context) {
		client, err := ttrpc.ClientFromContext(ctx, streaming.NewStreamingClient)
		if err != nil {
			log.Fatal(err)
		}
		answer, err := client.Echo(ctx, &streaming.EchoPayload{Msg: "who are you?"})
		greeted <- fmt.Sprint(answer.GetMsg(), " ", err)
		<-ctx.Done() // the connection has ended
		greeted <- "gone"
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	services, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	streaming.RegisterStreamingService(services, streaming.Service{})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithClientServices(services))

	fmt.Println(<-greeted)
	client.Close()
	fmt.Println(<-greeted)
	// Output:
	// who are you? <nil>
	// gone
}

// Interceptors of the calls that a server makes.
func ExampleWithPeerClientOptions() {
	announce := func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		fmt.Println("the server calls", info.FullMethod)
		return invoke(ctx, req, resp)
	}
	called := make(chan error)
	server, err := ttrpc.NewServer(
		ttrpc.WithPeerClientOptions(ttrpc.WithChainUnaryClientInterceptor(announce)),
		ttrpc.WithConnectionHook(func(ctx context.Context) {
			client, err := ttrpc.ClientFromContext(ctx, streaming.NewStreamingClient)
			if err == nil {
				_, err = client.Echo(ctx, &streaming.EchoPayload{Msg: "hello"})
			}
			called <- err
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	services, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	streaming.RegisterStreamingService(services, streaming.Service{})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithClientServices(services))
	defer client.Close()
	fmt.Println(<-called)
	// Output:
	// the server calls /ttrpc.integration.streaming.Streaming/Echo
	// <nil>
}
