// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

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
