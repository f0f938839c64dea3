// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"slices"
	"testing"

	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/integration/grpc/interop"
	"github.com/containerd/ttrpc/integration/grpc/ways"
)

// TestTools reads gRPC's reflection with the library of grpcurl, and its health, over all ways
// but calls of functions.
func TestTools(t *testing.T) {
	for _, way := range ways.All() {
		t.Run(way.Name, func(t *testing.T) {
			t.Parallel()
			states := health.NewServer()
			registerAll := func(r grpc.ServiceRegistrar) {
				interop.Register(r)
				healthgrpc.RegisterHealthServer(r, states)
				if _, ok := r.(reflection.GRPCServer); ok && !way.Reflects {
					reflection.Register(r.(reflection.GRPCServer))
				}
			}
			path := way.Open(t, ways.Setup{Register: registerAll})
			checkReflection(t, path.CC)
			checkHealth(t, path.CC, states.SetServingStatus)
		})
	}
}

// checkReflection lists the services and resolves what one of them takes.
func checkReflection(t *testing.T, cc grpc.ClientConnInterface) {
	client := grpcreflect.NewClientAuto(t.Context(), cc)
	defer client.Reset()
	services, err := client.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	const name = "grpc.testing.TestService"
	if !slices.Contains(services, name) {
		t.Errorf("B126: the services are %q, want %s among them", services, name)
	}
	service, err := client.ResolveService(name)
	if err != nil {
		t.Fatal(err)
	}
	method := service.FindMethodByName("StreamingInputCall")
	if method == nil || !method.IsClientStreaming() || method.IsServerStreaming() {
		t.Errorf("B126: %s has %v, want StreamingInputCall, which only the client streams", name, method)
	}
	if got, want := len(service.GetMethods()), len(testgrpc.TestService_ServiceDesc.Methods)+len(testgrpc.TestService_ServiceDesc.Streams); got != want {
		t.Errorf("B126: %s has %d methods, want %d", name, got, want)
	}
	if _, err := client.ResolveMessage("no.Such"); !grpcreflect.IsElementNotFoundError(err) {
		t.Errorf("B126: a message that is not there: %v", err)
	}
}

// checkHealth asks for what is there and what is not, and watches a change.
func checkHealth(t *testing.T, cc grpc.ClientConnInterface, set func(service string, state healthgrpc.HealthCheckResponse_ServingStatus)) {
	stub := healthgrpc.NewHealthClient(cc)
	set("one", healthgrpc.HealthCheckResponse_SERVING)
	got, err := stub.Check(t.Context(), &healthgrpc.HealthCheckRequest{Service: "one"})
	if err != nil || got.GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
		t.Errorf("B126: Check: %v, %v, want SERVING", got, err)
	}
	if _, err := stub.Check(t.Context(), &healthgrpc.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
		t.Errorf("B126: Check of a service that is not there: %v, want NotFound", err)
	}
	watch, err := stub.Watch(t.Context(), &healthgrpc.HealthCheckRequest{Service: "one"})
	if err != nil {
		t.Fatal(err)
	}
	want := healthgrpc.HealthCheckResponse_SERVING
	for range 2 {
		got, err := watch.Recv()
		if err != nil || got.GetStatus() != want {
			t.Fatalf("B126: Watch: %v, %v, want %v", got, err, want)
		}
		want = healthgrpc.HealthCheckResponse_NOT_SERVING
		set("one", want)
	}
}
