// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// A greeter is the service of the examples.
type greeter struct {
	testpb.UnimplementedTestServiceServer
}

func (greeter) UnaryCall(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Username: "Hello!"}, nil
}

// listenIn listens on a socket in a directory.
func listenIn(dir, name string) (net.Listener, string) {
	path := filepath.Join(dir, name)
	l, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return l, path
}

// dialPlain returns a gRPC connection to a socket.
func dialPlain(path string) *grpc.ClientConn {
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

// A gRPC server stands in front of a service on a ttrpc socket, which serves reflection. An
// interceptor asks who calls.
func ExampleNewToTTRPC() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	behind, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		log.Fatal(err)
	}
	defer behind.Close()
	registrar := grpcttrpc.NewRegistrar(behind)
	testpb.RegisterTestServiceServer(registrar, greeter{})
	reflection.Register(registrar)
	l, socket := listenIn(dir, "ttrpc")
	go behind.Serve(context.Background(), l)

	client, err := ttrpc.Dial("unix:"+socket, ttrpc.WithExtensions(), ttrpc.WithDialer(ttrpc.Dialer{FailFast: true}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	b := bridge.NewToTTRPC(client, bridge.Config{
		Methods: []bridge.Methods{bridge.ReflectTTRPC(client)},
		Limits:  bridge.Limits{Calls: 1000},
	})
	authorize := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if got := metadata.ValueFromIncomingContext(s.Context(), "authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			return status.Error(codes.Unauthenticated, "who are you?")
		}
		return handler(srv, s)
	}
	server := b.NewServer(grpc.StreamInterceptor(authorize))
	l, front := listenIn(dir, "grpc")
	go server.Serve(l)
	defer func() {
		b.Drain() // whoever asks for health sends no more calls
		server.GracefulStop()
	}()

	conn := dialPlain(front)
	defer conn.Close()
	stub := testpb.NewTestServiceClient(conn)
	_, err = stub.UnaryCall(context.Background(), new(testpb.SimpleRequest))
	fmt.Println(status.Convert(err).Message())
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer secret")
	answer, err := stub.UnaryCall(ctx, new(testpb.SimpleRequest))
	fmt.Println(answer.GetUsername(), err)
	fmt.Println("calls passed:", b.Counts().Ended[codes.OK])
	// Output:
	// who are you?
	// Hello! <nil>
	// calls passed: 1
}

// A ttrpc server stands in front of a gRPC target, here one server: callers on a socket reach
// it. What is called is said, as by the command line.
func ExampleNewToGRPC() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	behind := grpc.NewServer()
	defer behind.Stop()
	testpb.RegisterTestServiceServer(behind, greeter{})
	reflection.Register(behind)
	l, target := listenIn(dir, "grpc")
	go behind.Serve(l)

	methods := bridge.Table{}
	if err := methods.Set("grpc.testing.TestService/*=unary"); err != nil {
		log.Fatal(err)
	}
	conn := dialPlain(target) // or dns:///backends:8080, xds:///backends
	defer conn.Close()
	b := bridge.NewToGRPC(conn, bridge.Config{
		Methods: []bridge.Methods{methods, bridge.ReflectGRPC(conn)},
		Ended: func(c bridge.EndedCall) {
			fmt.Println(c.Service, c.Method, c.Kind, status.Code(c.Err))
		},
	})
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(b.Handler()))
	if err != nil {
		log.Fatal(err)
	}
	l, front := listenIn(dir, "ttrpc")
	go server.Serve(context.Background(), l)

	client, err := ttrpc.Dial("unix:" + front)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	answer := new(testpb.SimpleResponse)
	err = client.Call(context.Background(), "grpc.testing.TestService", "UnaryCall", new(testpb.SimpleRequest), answer)
	fmt.Println(answer.Username, err)
	if err := server.Shutdown(context.Background()); err != nil { // lets calls end
		log.Fatal(err)
	}
	fmt.Println("answers passed:", b.Counts().Answers)
	// Output:
	// grpc.testing.TestService UnaryCall unary OK
	// Hello! <nil>
	// answers passed: 1
}

// Descriptions know the kinds of methods, if the server behind does not tell.
func ExampleNewDescriptors() {
	set := protoset(testpb.File_grpc_testing_test_proto) // protoc --include_imports --descriptor_set_out writes such sets
	described, err := bridge.NewDescriptors(set)
	if err != nil {
		log.Fatal(err)
	}
	for _, method := range []string{"UnaryCall", "StreamingInputCall", "FullDuplexCall", "None"} {
		kind, err := described.Kind(context.Background(), "grpc.testing.TestService", method)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(method, kind, kind.ClientStreams(), kind.ServerStreams())
	}
	// Output:
	// UnaryCall unary false false
	// StreamingInputCall client-stream true false
	// FullDuplexCall bidi-stream true true
	// None unknown false false
}
