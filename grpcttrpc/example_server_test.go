// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// A greeter is a service as one writes it for gRPC. It answers with who calls, from where.
type greeter struct {
	testpb.UnimplementedTestServiceServer
	name string
}

func (g *greeter) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	from := metadata.ValueFromIncomingContext(ctx, "from")
	return &testpb.SimpleResponse{Username: fmt.Sprintf("Hello %s, this is %s.", from, g.name)}, nil
}

// serveConn has a server serve one end of a pipe, and returns a client of the other.
func serveConn(server *ttrpc.Server, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	return ttrpc.NewClient(near, opts...)
}

// A service that was written for gRPC is registered with a ttrpc server as with gRPC's, and so
// are gRPC's own services for health and reflection.
func ExampleNewRegistrar() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	registrar := grpcttrpc.NewRegistrar(server)
	testpb.RegisterTestServiceServer(registrar, &greeter{name: "the server"})
	healthpb.RegisterHealthServer(registrar, health.NewServer())
	reflection.Register(registrar)

	client := serveConn(server, ttrpc.WithExtensions())
	defer client.Close()
	conn := grpcttrpc.NewClientConn(client)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "from", "Ada")
	resp, err := testpb.NewTestServiceClient(conn).UnaryCall(ctx, new(testpb.SimpleRequest))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Username)
	state, err := healthpb.NewHealthClient(conn).Check(ctx, new(healthpb.HealthCheckRequest))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(state.Status)
	// Output:
	// Hello [Ada], this is the server.
	// SERVING
}

// A relay is a gRPC service that calls whoever calls it.
type relay struct {
	testpb.UnimplementedTestServiceServer
}

func (relay) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	back, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "from", "relay")
	return testpb.NewTestServiceClient(grpcttrpc.NewClientConn(back)).UnaryCall(ctx, req)
}

// In extended mode the client has services, too, and a handler at the server calls them, on
// the same connection.
func Example_bothWays() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), relay{})

	services, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(services), &greeter{name: "the client"})
	client := serveConn(server, ttrpc.WithExtensions(), ttrpc.WithClientServices(services))
	defer client.Close()

	resp, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client)).UnaryCall(context.Background(), new(testpb.SimpleRequest))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Username)
	// Output: Hello [relay], this is the client.
}

func ExampleRegistrar_GetServiceInfo() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	registrar := grpcttrpc.NewRegistrar(server)
	healthpb.RegisterHealthServer(registrar, health.NewServer())
	for name, service := range registrar.GetServiceInfo() {
		fmt.Println(name, service.Metadata)
		for _, m := range service.Methods {
			fmt.Println(m.Name, m.IsClientStream, m.IsServerStream)
		}
	}
	// Output:
	// grpc.health.v1.Health grpc/health/v1/health.proto
	// Check false false
	// List false false
	// Watch false true
}

// RegisterService is what generated code calls. A service may be described by hand as well.
func ExampleRegistrar_RegisterService() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	grpcttrpc.NewRegistrar(server).RegisterService(&grpc.ServiceDesc{
		ServiceName: "example.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := new(testpb.SimpleResponse)
			return req, decode(req)
		}}},
	}, nil)
	client := serveConn(server)
	defer client.Close()
	resp := new(testpb.SimpleResponse)
	if err := client.Call(context.Background(), "example.Echo", "Echo", &testpb.SimpleResponse{Username: "Ada"}, resp); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Username)
	// Output: Ada
}

// A counter is a stats handler that counts what has ended.
type counter struct{ ended int }

func (c *counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (c *counter) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.End); ok {
		c.ended++
	}
}

func (c *counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (c *counter) HandleConn(context.Context, stats.ConnStats) {}

// Interceptors and stats handlers that were written for gRPC's servers are given to the
// registrar.
func ExampleWithChainUnaryServerInterceptor() {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	loud := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		fmt.Println("calls", info.FullMethod)
		return handler(ctx, req)
	}
	loudStream := func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		fmt.Println("opens", info.FullMethod)
		return handler(srv, stream)
	}
	counts := new(counter)
	registrar := grpcttrpc.NewRegistrar(server,
		grpcttrpc.WithChainUnaryServerInterceptor(loud),
		grpcttrpc.WithChainStreamServerInterceptor(loudStream),
		grpcttrpc.WithServerStatsHandler(counts))
	testpb.RegisterTestServiceServer(registrar, echoes())
	client := serveConn(server, ttrpc.WithExtensions())
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
	for range 2 {
		if _, err := stub.UnaryCall(context.Background(), new(testpb.SimpleRequest)); err != nil {
			log.Fatal(err)
		}
	}
	stream, err := stub.FullDuplexCall(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	stream.CloseSend()
	_, err = stream.Recv()
	fmt.Println(err)
	client.Close()
	fmt.Println(counts.ended, "calls")
	// Output:
	// calls /grpc.testing.TestService/UnaryCall
	// calls /grpc.testing.TestService/UnaryCall
	// opens /grpc.testing.TestService/FullDuplexCall
	// EOF
	// 3 calls
}

// What a handshaker of ttrpc's has found out is in gRPC's peer: of TLS a credentials.TLSInfo,
// all else in an AuthInfo.
func ExampleAuthInfo() {
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(shaken{"uid 1000"}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			resp := new(testpb.SimpleResponse)
			if p, ok := peer.FromContext(ctx); ok {
				if auth, ok := p.AuthInfo.(grpcttrpc.AuthInfo); ok {
					resp.Username = fmt.Sprint(auth.AuthType(), ": ", auth.Info)
				}
			}
			return resp, nil
		},
	})
	client := serveConn(server)
	defer client.Close()
	resp, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client)).UnaryCall(context.Background(), new(testpb.SimpleRequest))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Username)
	// Output: ttrpc: uid 1000
}
