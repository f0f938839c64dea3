// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// benchSides calls bench with a stub of gRPC's over this and over grpc-go, on unix sockets.
func benchSides(b *testing.B, bench func(*testing.B, testpb.TestServiceClient)) {
	b.Run("grpcttrpc", func(b *testing.B) {
		server := newServer(b, ttrpc.WithServerExtensions())
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		bench(b, testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(b, server, ttrpc.WithExtensions()))))
	})
	b.Run("grpc-go", func(b *testing.B) {
		server := grpc.NewServer()
		testpb.RegisterTestServiceServer(server, echoes())
		l, err := net.Listen("unix", b.TempDir()+"/s")
		if err != nil {
			b.Fatal(err)
		}
		go server.Serve(l)
		defer server.Stop()
		conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		bench(b, testpb.NewTestServiceClient(conn))
	})
}

// BenchmarkUnary makes unary calls of 64 bytes by ttrpc's own stubs, and by gRPC's over this and
// over grpc-go.
func BenchmarkUnary(b *testing.B) {
	req := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 64)}}
	b.Run("ttrpc", func(b *testing.B) {
		server := newServer(b, ttrpc.WithServerExtensions())
		server.Register(testServiceName, map[string]ttrpc.Method{
			"UnaryCall": func(_ context.Context, unmarshal func(any) error) (any, error) {
				req := new(testpb.SimpleRequest)
				if err := unmarshal(req); err != nil {
					return nil, err
				}
				return &testpb.SimpleResponse{Payload: req.Payload}, nil
			},
		})
		client := connect(b, server, ttrpc.WithExtensions())
		b.ReportAllocs()
		for b.Loop() {
			if err := client.Call(context.Background(), testServiceName, "UnaryCall", req, new(testpb.SimpleResponse)); err != nil {
				b.Fatal(err)
			}
		}
	})
	benchSides(b, func(b *testing.B, stub testpb.TestServiceClient) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := stub.UnaryCall(context.Background(), req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPingPong sends 64 bytes there and back on one stream.
func BenchmarkPingPong(b *testing.B) {
	benchSides(b, func(b *testing.B, stub testpb.TestServiceClient) {
		stream, err := stub.FullDuplexCall(withDeadline(b))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := stream.Send(askFor(64)); err != nil {
				b.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDown has the server stream messages of 64 bytes.
func BenchmarkDown(b *testing.B) {
	benchSides(b, func(b *testing.B, stub testpb.TestServiceClient) {
		req := new(testpb.StreamingOutputCallRequest)
		for range 1000 {
			req.ResponseParameters = append(req.ResponseParameters, &testpb.ResponseParameters{Size: 64})
		}
		b.ReportAllocs()
		for b.Loop() {
			stream, err := stub.StreamingOutputCall(context.Background(), req)
			if err != nil {
				b.Fatal(err)
			}
			for range 1000 {
				if _, err := stream.Recv(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkUp has the client stream messages of 64 bytes.
func BenchmarkUp(b *testing.B) {
	benchSides(b, func(b *testing.B, stub testpb.TestServiceClient) {
		b.ReportAllocs()
		for b.Loop() {
			stream, err := stub.StreamingInputCall(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			for range 1000 {
				if err := stream.Send(inputOf(64)); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := stream.CloseAndRecv(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
