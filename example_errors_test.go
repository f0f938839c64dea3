// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// The error of a lost connection, as a gRPC program looks at it, and as errors.Is does.
func ExampleWithStatusErrors_lostConnection() {
	for _, opts := range [][]ttrpc.ClientOpts{nil, {ttrpc.WithStatusErrors()}} {
		near, far := net.Pipe() // a unix socket, elsewhere
		client := ttrpc.NewClient(near, opts...)
		far.Close() // the server has ended
		err := client.Call(context.Background(), "example.Any", "Method", wrapperspb.String(""), new(wrapperspb.StringValue))
		fmt.Println(status.Code(err), errors.Is(err, ttrpc.ErrClosed))
	}
	// Output:
	// Unknown true
	// Unavailable true
}

// How much too large a message was.
func ExampleOversizedMessageErr_RejectedLength() {
	near, far := net.Pipe()
	defer far.Close()
	client := ttrpc.NewClient(near, ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 1 << 20}))
	defer client.Close()
	large := wrapperspb.Bytes(make([]byte, 1<<20))
	err := client.Call(context.Background(), "example.Any", "Method", large, new(wrapperspb.BytesValue))
	var oversized *ttrpc.OversizedMessageErr
	if !errors.As(err, &oversized) {
		log.Fatal(err)
	}
	fmt.Println(oversized.RejectedLength()-oversized.MaximumLength(), "bytes too many")
	fmt.Println(status.Code(oversized.Unwrap()) == codes.ResourceExhausted)
	// Output:
	// 29 bytes too many
	// true
}

// An interceptor that tells which code the caller gets.
func ExampleStatusOf() {
	tell := func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		answer, err := method(ctx, unmarshal)
		if err != nil {
			fmt.Println(info.FullMethod, ttrpc.StatusOf(err).Code())
		}
		return answer, err
	}
	// ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(tell)) calls it so:
	tell(context.Background(), nil, &ttrpc.UnaryServerInfo{FullMethod: "/shop.Orders/Get"}, func(context.Context, func(any) error) (any, error) {
		return nil, os.ErrNotExist
	})
	// Output: /shop.Orders/Get NotFound
}
