// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package reflection_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/integration/kit"
	"github.com/containerd/ttrpc/reflection"
)

// eachMode runs a test with a server, in both modes.
func eachMode(t *testing.T, register func(*ttrpc.Server), test func(*testing.T, *ttrpc.Server, *ttrpc.Client)) {
	kit.EachMode(t, func(t *testing.T, server *ttrpc.Server, client *ttrpc.Client) {
		register(server)
		test(t, server, client)
	})
}

// registerAll registers services with and without descriptions.
func registerAll(server *ttrpc.Server) {
	reflection.Register(server)
	health.New().Register(server)
	example.RegisterGreenhouseService(server, nil)
	server.RegisterService("old.Undescribed", &ttrpc.ServiceDesc{})
}

// paths returns the paths of files.
func paths(files []*descriptorpb.FileDescriptorProto) (all []string) {
	for _, file := range files {
		all = append(all, file.GetName())
	}
	return all
}

// find finds what has a name in files, which have to be all that is needed.
func find(t *testing.T, name string, files []*descriptorpb.FileDescriptorProto) protoreflect.Descriptor {
	t.Helper()
	built, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		t.Fatalf("B154: %q: %v", paths(files), err)
	}
	found, err := built.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatalf("B154: %q does not have %s: %v", paths(files), name, err)
	}
	return found
}

func TestServices(t *testing.T) {
	eachMode(t, registerAll, func(t *testing.T, server *ttrpc.Server, client *ttrpc.Client) {
		c := reflection.NewClient(t.Context(), client)
		defer c.Close()
		want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
			"old.Undescribed", "ttrpc.example.Greenhouse"}
		if got, err := c.Services(); err != nil || !slices.Equal(got, want) {
			t.Errorf("B153: the services are %q, %v, want %q", got, err, want)
		}
		server.RegisterService("late.Service", &ttrpc.ServiceDesc{})
		if got, err := c.Services(); err != nil || !slices.Contains(got, "late.Service") {
			t.Errorf("B153: the services are %q, %v, want one that came later among them", got, err)
		}
		for _, name := range want {
			if name == "old.Undescribed" {
				continue
			}
			files, err := c.Symbol(name)
			if err != nil {
				t.Fatalf("B153: Symbol(%q): %v", name, err)
			}
			service, ok := find(t, name, files).(protoreflect.ServiceDescriptor)
			if !ok || service.Methods().Len() == 0 {
				t.Errorf("B153: %s is described as %v", name, service)
			}
		}
		if _, err := c.Symbol("old.Undescribed"); status.Code(err) != codes.NotFound {
			t.Errorf("B153: Symbol of a service without a description: %v", err)
		}
	})
}
