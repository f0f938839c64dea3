// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package reflection_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/reflection"
)

// A server tells what it serves, and a client learns the methods of a service from it.
func Example() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	example.RegisterGreenhouseService(server, nil)
	health.New().Register(server)
	reflection.Register(server)

	near, far := net.Pipe() // a unix socket, elsewhere
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	c := reflection.NewClient(context.Background(), client)
	defer c.Close()
	services, err := c.Services()
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range services {
		fmt.Println(name)
	}

	described, err := c.Symbol("ttrpc.example.Greenhouse")
	if err != nil {
		log.Fatal(err)
	}
	files, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: described})
	if err != nil {
		log.Fatal(err)
	}
	found, err := files.FindDescriptorByName("ttrpc.example.Greenhouse")
	if err != nil {
		log.Fatal(err)
	}
	methods := found.(protoreflect.ServiceDescriptor).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		fmt.Println("-", m.Name(), m.IsStreamingClient(), m.IsStreamingServer())
	}
	// Output:
	// grpc.health.v1.Health
	// grpc.reflection.v1.ServerReflection
	// grpc.reflection.v1alpha.ServerReflection
	// ttrpc.example.Greenhouse
	// - Measure false false
	// - Watch false true
	// - Record true false
	// - Regulate true true
}

// A service whose description is not linked into the program, as it has none of its own code,
// is described by files that come from elsewhere.
func ExampleWithFiles() {
	set := &descriptorpb.FileDescriptorSet{} // such as protoc --descriptor_set_out writes
	files, err := protodesc.NewFiles(set)
	if err != nil {
		log.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	reflection.Register(server, reflection.WithFiles(files))
	for _, service := range server.Services() {
		fmt.Println(service.Name)
	}
	// Output:
	// grpc.reflection.v1.ServerReflection
	// grpc.reflection.v1alpha.ServerReflection
}

// For services of gogo's code the function is proto.FileDescriptor of gogo's package proto.
func ExampleGzippedFiles() {
	registry := map[string][]byte{} // gogo's
	find := func(path string) []byte { return registry[path] }
	_, err := reflection.GzippedFiles(find, "package/service.proto")
	fmt.Println(err)
	// Output:
	// reflection: file "package/service.proto": there is none
}
