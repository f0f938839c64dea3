// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"fmt"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// describe is an interceptor, but a handler can do the same.
func describe(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	check(ttrpc.SetHeader(ctx, ttrpc.MD{"served-by": {"node-7"}}))
	answer, err := method(ctx, unmarshal)
	check(ttrpc.SetTrailer(ctx, ttrpc.MD{"rows-read": {"42"}}))

	all, mdErr := ttrpc.ResponseMetadataFromContext(ctx)
	check(mdErr)
	fmt.Println("the server has set:", all.Trailer())
	return answer, err
}

func ExampleWithResponseMetadata() {
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(describe))
	defer stop()
	client := connect(address, ttrpc.WithExtensions())
	defer client.Close()

	ctx, md := ttrpc.WithResponseMetadata(context.Background())
	_, err := streaming.NewStreamingClient(client).Echo(ctx, &streaming.EchoPayload{})
	check(err)
	header, err := md.Header(ctx)
	check(err)
	fmt.Println("the client has got:", header, md.Trailer())
	// Output:
	// the server has set: map[rows-read:[42]]
	// the client has got: map[served-by:[node-7]] map[rows-read:[42]]
}

func ExampleSetHeader() {
	address, stop := serve(ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			if err := ttrpc.SetHeader(ctx, ttrpc.MD{"served-by": {"node-7"}}); err != nil {
				fmt.Println(err)
			}
			return method(ctx, unmarshal)
		}))
	defer stop()
	client := connect(address) // without WithExtensions
	defer client.Close()

	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{})
	check(err)
	// Output: ttrpc: the connection carries no metadata of answers
}

func ExampleSendHeader() {
	address, stop := serve(ttrpc.WithChainStreamServerInterceptor(
		func(ctx context.Context, ss ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
			check(ttrpc.SendHeader(ctx, ttrpc.MD{"served-by": {"node-7"}}))
			return handler(ctx, ss)
		}))
	defer stop()
	client := connect(address, ttrpc.WithExtensions())
	defer client.Close()

	ctx, md := ttrpc.WithResponseMetadata(context.Background())
	stream, err := streaming.NewStreamingClient(client).EchoStream(ctx)
	check(err)
	header, err := md.Header(ctx) // comes before any message
	check(err)
	fmt.Println(header)
	check(stream.CloseSend())
	// Output: map[served-by:[node-7]]
}
