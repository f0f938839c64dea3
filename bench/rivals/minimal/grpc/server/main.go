// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server of gRPC.
package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

func main() {
	s := grpc.NewServer()
	echo := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		m := new(wrapperspb.BytesValue)
		return m, decode(m)
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: echo}},
	}, nil)
	minimal.Must(s.Serve(minimal.Listener()))
}
