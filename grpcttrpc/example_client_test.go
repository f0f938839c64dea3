// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// exampleClient returns a client of a server with gRPC's health service, and what ends both.
func exampleClient() (*ttrpc.Client, func()) {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	healthpb.RegisterHealthServer(grpcttrpc.NewRegistrar(server), health.NewServer())
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	return client, func() {
		client.Close()
		server.Close()
	}
}

// What protoc-gen-go-grpc has generated calls over a ttrpc connection as it is.
func ExampleNewClientConn() {
	client, end := exampleClient()
	defer end()
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := stub.Check(ctx, &healthpb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err)
	_, err = stub.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"})
	fmt.Println(status.Code(err))

	watch, err := stub.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err = watch.Recv()
	fmt.Println(answer.GetStatus(), err)

	// The errors are gRPC's, in which errors.Is finds those of ttrpc.
	client.Close()
	_, err = stub.Check(ctx, &healthpb.HealthCheckRequest{})
	fmt.Println(status.Code(err), errors.Is(err, ttrpc.ErrClosed))
	// Output:
	// SERVING <nil>
	// NotFound
	// SERVING <nil>
	// Canceled true
}

// Interceptors are those of gRPC.
func ExampleWithChainUnaryClientInterceptor() {
	client, end := exampleClient()
	defer end()
	logged := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(metadata.AppendToOutgoingContext(ctx, "user", "me"), method, req, reply, cc, opts...)
		fmt.Println(method, status.Code(err))
		return err
	}
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithChainUnaryClientInterceptor(logged)))
	stub.Check(context.Background(), &healthpb.HealthCheckRequest{})
	// Output: /grpc.health.v1.Health/Check OK
}

// Interceptors of streams are, too.
func ExampleWithChainStreamClientInterceptor() {
	client, end := exampleClient()
	defer end()
	logged := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		fmt.Println(method)
		return open(ctx, desc, cc, method, opts...)
	}
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithChainStreamClientInterceptor(logged)))
	watch, err := stub.Watch(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := watch.Recv()
	fmt.Println(answer.GetStatus(), err)
	// Output:
	// /grpc.health.v1.Health/Watch
	// SERVING <nil>
}

// All calls have an option that bounds their answers.
func ExampleWithDefaultCallOptions() {
	client, end := exampleClient()
	defer end()
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1))))
	_, err := stub.Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(err)
	// Output: rpc error: code = ResourceExhausted desc = grpc: received message larger than max (2 vs. 1)
}

// exampleToken is what proves who calls. It asks for a connection that nobody else reads.
type exampleToken string

func (t exampleToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (exampleToken) RequireTransportSecurity() bool { return true }

// Credentials that ask for transport security do not go over a connection without. One that
// package ttrpctls has made has it.
func ExampleWithPerRPCCredentials() {
	client, end := exampleClient()
	defer end()
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithPerRPCCredentials(exampleToken("secret"))))
	_, err := stub.Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(status.Code(err))
	// Output: Unauthenticated
}

// exampleStats counts bytes.
type exampleStats struct{ sent, received int }

func (*exampleStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (s *exampleStats) HandleRPC(_ context.Context, event stats.RPCStats) {
	switch event := event.(type) {
	case *stats.OutPayload:
		s.sent += event.Length
	case *stats.InPayload:
		s.received += event.Length
	}
}

func (*exampleStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*exampleStats) HandleConn(context.Context, stats.ConnStats)                       {}

// A stats handler, of OpenTelemetry for example, is told of calls.
func ExampleWithClientStatsHandler() {
	client, end := exampleClient()
	defer end()
	counts := new(exampleStats)
	stub := healthpb.NewHealthClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithClientStatsHandler(counts)))
	stub.Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(counts.sent, "bytes sent and", counts.received, "received")
	// Output: 0 bytes sent and 2 received
}
