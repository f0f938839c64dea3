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

// A handler sets metadata of its answer, and an interceptor around it sees that and adds
// some. Where the answer cannot have any, setting it says so, and the call goes on.
func ExampleWithResponseMetadata() {
	count := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		answer, err := method(ctx, unmarshal)
		set, mdErr := ttrpc.ResponseMetadataFromContext(ctx)
		if mdErr != nil {
			return nil, mdErr
		}
		if header, err := set.Header(ctx); err == nil {
			fmt.Println("the handler has set:", header)
		}
		if err := ttrpc.SetTrailer(ctx, ttrpc.MD{"rows-read": {"42"}}); err != nil && !errors.Is(err, ttrpc.ErrNoResponseMetadata) {
			return nil, err
		}
		return answer, err
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithUnaryServerInterceptor(count))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Table", map[string]ttrpc.Method{
		"Read": func(ctx context.Context, _ func(any) error) (any, error) {
			if err := ttrpc.SetHeader(ctx, ttrpc.MD{"served-by": {"node-7"}}); err != nil && !errors.Is(err, ttrpc.ErrNoResponseMetadata) {
				return nil, err
			}
			return wrapperspb.String("all rows"), nil
		},
	})
	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	defer client.Close()

	ctx, md := ttrpc.WithResponseMetadata(context.Background()) // for one call
	answer := new(wrapperspb.StringValue)
	if err := client.Call(ctx, "example.Table", "Read", wrapperspb.String(""), answer); err != nil {
		log.Fatal(err)
	}
	header, err := md.Header(ctx)
	fmt.Println(answer.Value, header, md.Trailer(), err)
	// Output:
	// the handler has set: map[served-by:[node-7]]
	// all rows map[served-by:[node-7]] map[rows-read:[42]] <nil>
}

// On a classic connection answers have no metadata.
func ExampleSetHeader() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Table", map[string]ttrpc.Method{
		"Read": func(ctx context.Context, _ func(any) error) (any, error) {
			err := ttrpc.SetHeader(ctx, ttrpc.MD{"served-by": {"node-7"}})
			return wrapperspb.String(fmt.Sprint(err)), nil
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near) // without WithExtensions
	defer client.Close()

	answer := new(wrapperspb.StringValue)
	if err := client.Call(context.Background(), "example.Table", "Read", wrapperspb.String(""), answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Value)
	// Output: ttrpc: the connection carries no metadata of answers
}

// A stream's header comes before any message, if it is sent.
func ExampleSendHeader() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithChainStreamServerInterceptor(
		func(ctx context.Context, ss ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
			if err := ttrpc.SendHeader(ctx, ttrpc.MD{"served-by": {"node-7"}}); err != nil {
				return nil, err
			}
			return handler(ctx, ss)
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	streaming.RegisterStreamingService(server, streaming.Service{})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	defer client.Close()

	ctx, md := ttrpc.WithResponseMetadata(context.Background())
	stream, err := streaming.NewStreamingClient(client).EchoStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(md.Header(ctx))
	if err := stream.CloseSend(); err != nil {
		log.Fatal(err)
	}
	// Output: map[served-by:[node-7]] <nil>
}
