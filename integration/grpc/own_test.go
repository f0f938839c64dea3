// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	grpcreflection "google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/integration/grpc/interop"
	"github.com/containerd/ttrpc/reflection"
)

// serveOwn serves gRPC's test service and what register adds, and returns what gRPC's stubs
// call it by.
func serveOwn(t *testing.T, register func(*ttrpc.Server)) grpc.ClientConnInterface {
	t.Helper()
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	interop.Register(grpcttrpc.NewRegistrar(server))
	register(server)
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(context.Background(), far) }()
	client := ttrpc.NewClient(near, ttrpc.WithExtensions())
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-served
	})
	return grpcttrpc.NewClientConn(client)
}

// TestOwnTools reads the reflection and the health of packages reflection and health with
// gRPC's own clients, in a program that links both: as both are in this one, it starts.
func TestOwnTools(t *testing.T) {
	states := health.New()
	cc := serveOwn(t, func(server *ttrpc.Server) {
		states.Register(server)
		reflection.Register(server)
	})
	checkReflection(t, cc)
	checkHealth(t, cc, func(service string, state healthgrpc.HealthCheckResponse_ServingStatus) {
		states.Set(service, health.Status(state))
	})
	listed, err := healthgrpc.NewHealthClient(cc).List(t.Context(), new(healthgrpc.HealthListRequest))
	if err != nil || len(listed.Statuses) != 2 || listed.Statuses[""].GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
		t.Errorf("B150: List: %v, %v", listed, err)
	}
}

// TestReflectionAsGRPCs asks gRPC's reflection and that of package reflection the same on one stream,
// and wants the same answers but for texts of errors.
func TestReflectionAsGRPCs(t *testing.T) {
	theirs := serveOwn(t, func(server *ttrpc.Server) { grpcreflection.Register(grpcttrpc.NewRegistrar(server)) })
	ours := serveOwn(t, func(server *ttrpc.Server) { reflection.Register(server) })
	var streams []reflectionpb.ServerReflection_ServerReflectionInfoClient
	for _, cc := range []grpc.ClientConnInterface{theirs, ours} {
		stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	bySymbol := func(name string) *reflectionpb.ServerReflectionRequest {
		return &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}}
	}
	byName := func(path string) *reflectionpb.ServerReflectionRequest {
		return &reflectionpb.ServerReflectionRequest{Host: "host", MessageRequest: &reflectionpb.ServerReflectionRequest_FileByFilename{FileByFilename: path}}
	}
	numbers := func(message string) *reflectionpb.ServerReflectionRequest {
		return &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: message}}
	}
	for _, request := range []*reflectionpb.ServerReflectionRequest{
		{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"}},
		bySymbol(testgrpc.TestService_ServiceDesc.ServiceName),
		bySymbol(testgrpc.TestService_ServiceDesc.ServiceName + ".UnaryCall"),
		bySymbol("grpc.testing.SimpleRequest.response_size"),
		bySymbol("grpc.health.v1.Health"),
		bySymbol("grpc.reflection.v1.ServerReflection"),
		bySymbol("no.Such"),
		bySymbol(""),
		byName("grpc/testing/messages.proto"),
		byName("no/such.proto"),
		numbers("google.protobuf.FeatureSet"),
		numbers("no.Such"),
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingExtension{FileContainingExtension: &reflectionpb.ExtensionRequest{ContainingType: "google.protobuf.FeatureSet", ExtensionNumber: 9}}},
	} {
		var answers []*reflectionpb.ServerReflectionResponse
		for _, stream := range streams {
			if err := stream.Send(request); err != nil {
				t.Fatal(err)
			}
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if failed := answer.GetErrorResponse(); failed != nil {
				failed.ErrorMessage = ""
			}
			answers = append(answers, answer)
		}
		if !sameAnswer(t, answers[0], answers[1]) {
			t.Errorf("B154: %v is answered by gRPC's with %v and by ours with %v", request, answers[0], answers[1])
		}
	}
}

// sameAnswer tells whether two answers are the same, of files what they say and not how they are
// encoded.
func sameAnswer(t *testing.T, a, b *reflectionpb.ServerReflectionResponse) bool {
	as, bs := a.GetFileDescriptorResponse().GetFileDescriptorProto(), b.GetFileDescriptorResponse().GetFileDescriptorProto()
	if len(as) == 0 || len(as) != len(bs) {
		return proto.Equal(a, b)
	}
	for i := range as {
		var files [2]descriptorpb.FileDescriptorProto
		for j, data := range [][]byte{as[i], bs[i]} {
			if err := proto.Unmarshal(data, &files[j]); err != nil {
				t.Error(err)
			}
		}
		if !proto.Equal(&files[0], &files[1]) {
			return false
		}
	}
	return proto.Equal(a.OriginalRequest, b.OriginalRequest) && a.ValidHost == b.ValidHost
}
