// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// TestHealth holds that gRPC's health service works, in unary calls and in streams.
func TestHealth(t *testing.T) {
	r := new(report)
	states := health.NewServer()
	s := side{register: func(reg grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(reg, states) }}
	besideGRPC(t, "B126", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := healthpb.NewHealthClient(cc)
		states.SetServingStatus("a", healthpb.HealthCheckResponse_SERVING)
		for _, service := range []string{"", "a", "b"} {
			resp, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
			r.got("%v %v", resp.GetStatus(), err)
		}
		ctx, cancel := context.WithCancel(ctx)
		watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{Service: "a"})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := watch.Recv()
		r.got("%v %v", resp.GetStatus(), err)
		states.SetServingStatus("a", healthpb.HealthCheckResponse_NOT_SERVING)
		resp, err = watch.Recv()
		r.got("%v %v", resp.GetStatus(), err)
		cancel()
		_, err = watch.Recv()
		r.got("%v", codeOf(err))
	})
}

// TestReflection holds that gRPC's reflection service tells what there is, in both versions.
func TestReflection(t *testing.T) {
	r := new(report)
	s := side{register: func(reg grpc.ServiceRegistrar) {
		testpb.RegisterTestServiceServer(reg, echoes())
		reflection.Register(reg.(reflection.GRPCServer))
	}}
	besideGRPC(t, "B126", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ask := range []*reflectionpb.ServerReflectionRequest{
			{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
			{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: testServiceName}},
			{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.Such"}},
		} {
			if err := stream.Send(ask); err != nil {
				t.Fatal(err)
			}
			resp, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, service := range resp.GetListServicesResponse().GetService() {
				r.got("%s", service.Name)
			}
			for _, file := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
				d := new(descriptorpb.FileDescriptorProto)
				if err := proto.Unmarshal(file, d); err != nil {
					t.Fatal(err)
				}
				r.got("%s", d.GetName())
			}
			r.got("%v", resp.GetErrorResponse())
		}
		stream.CloseSend()
		// The messages of the older version are the same by another name.
		old, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
		if err != nil {
			t.Fatal(err)
		}
		old.SendMsg(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		old.CloseSend()
		resp := new(reflectionpb.ServerReflectionResponse)
		err = old.RecvMsg(resp)
		r.got("%d %v", len(resp.GetListServicesResponse().GetService()), err)
	})
}

// TestServiceInfo holds that GetServiceInfo tells the same as grpc-go's.
func TestServiceInfo(t *testing.T) {
	desc := &grpc.ServiceDesc{
		ServiceName: "a.A", HandlerType: (*any)(nil), Metadata: 7,
		Methods: []grpc.MethodDesc{{MethodName: "Z"}, {MethodName: "B"}},
		Streams: []grpc.StreamDesc{{StreamName: "C", ClientStreams: true}, {StreamName: "A", ServerStreams: true},
			{StreamName: "D", ClientStreams: true, ServerStreams: true}, {StreamName: "E"}, {StreamName: "B", ServerStreams: true}},
	}
	both := func(r grpc.ServiceRegistrar) {
		r.RegisterService(desc, nil)
		testpb.RegisterTestServiceServer(r, echoes())
	}
	theirs := grpc.NewServer()
	both(theirs)
	server := newServer(t)
	ours := grpcttrpc.NewRegistrar(server)
	both(ours)
	if got, want := describe(ours.GetServiceInfo()), describe(theirs.GetServiceInfo()); got != want {
		t.Errorf("B126: the services are\n%s\nand grpc-go's are\n%s", got, want)
	}
	server.RegisterService("grpc.testing.LoadBalancerStatsService", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"M": nil}, Streams: map[string]ttrpc.Stream{"S": {StreamingServer: true}},
	})
	server.Register("no.Descriptor", nil)
	other := grpcttrpc.NewRegistrar(server)
	got := describe(other.GetServiceInfo())
	for _, want := range []string{
		`grpc.testing.LoadBalancerStatsService grpc/testing/test.proto [{M false false} {S false true}]`,
		`no.Descriptor <nil> []`,
		`grpc.testing.TestService grpc/testing/test.proto`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("B126: the services are\n%s\nwithout %s", got, want)
		}
	}
}

// describe returns a line for each service. grpc-go's order of methods is at random.
func describe(infos map[string]grpc.ServiceInfo) string {
	var lines []string
	for name, info := range infos {
		slices.SortFunc(info.Methods, func(a, b grpc.MethodInfo) int { return strings.Compare(a.Name, b.Name) })
		lines = append(lines, fmt.Sprintf("%s %v %v", name, info.Metadata, info.Methods))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
