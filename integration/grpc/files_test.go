// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"flag"
	"os"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc/internal/grpcfiles"
)

//go:generate go test . -count=1 -run=^TestGRPCFiles$ -update

var update = flag.Bool("update", false, "write internal/grpcfiles/grpc.binpb instead of comparing it")

// TestGRPCFiles holds that what reflection tells of gRPC's own services is what gRPC's packages have.
func TestGRPCFiles(t *testing.T) {
	want := new(descriptorpb.FileDescriptorSet)
	for _, file := range []protoreflect.FileDescriptor{
		healthpb.File_grpc_health_v1_health_proto,
		reflectionpb.File_grpc_reflection_v1_reflection_proto,
		reflectionalphapb.File_grpc_reflection_v1alpha_reflection_proto,
	} {
		want.File = append(want.File, protodesc.ToFileDescriptorProto(file))
	}
	if *update {
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("../../internal/grpcfiles/grpc.binpb", encoded, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	got := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(grpcfiles.Set, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("B153: internal/grpcfiles has other descriptions than gRPC's packages (%v): run go generate here", err)
	}
}
