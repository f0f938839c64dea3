// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client of gRPC.
package main

import (
	"context"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

func main() {
	c, err := grpc.NewClient("unix:"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	minimal.Must(err)
	minimal.Answered(c.Invoke(context.Background(), "/bench.Echo/Echo", wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue)))
}
