// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// BenchmarkHandlers has a ttrpc client call a handler of ttrpc's and one of gRPC's, with 64
// bytes over a unix socket.
func BenchmarkHandlers(b *testing.B) {
	server := newServer(b, ttrpc.WithServerExtensions())
	server.Register("bench.Native", map[string]ttrpc.Method{
		"UnaryCall": func(_ context.Context, unmarshal func(any) error) (any, error) {
			req := new(testpb.SimpleRequest)
			if err := unmarshal(req); err != nil {
				return nil, err
			}
			return &testpb.SimpleResponse{Payload: req.Payload}, nil
		},
	})
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
	client := connect(b, server, ttrpc.WithExtensions())
	req := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 64)}}
	for _, service := range []string{"bench.Native", testServiceName} {
		b.Run(service, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Call(context.Background(), service, "UnaryCall", req, new(testpb.SimpleResponse)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
