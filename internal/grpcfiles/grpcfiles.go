// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package grpcfiles has the descriptions of gRPC's health and reflection services in a registry
// of its own. Registered for the whole program they would be in the way of gRPC's packages,
// which panic at the start if these names are taken.
package grpcfiles

import (
	_ "embed"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Set is an encoded FileDescriptorSet: what gRPC's packages have, as a test in the module
// integration/grpc holds, which also writes it.
//
//go:embed grpc.binpb
var Set []byte

// Files returns the descriptions. The caller must not register others with them.
var Files = sync.OnceValue(func() *protoregistry.Files {
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(Set, set); err != nil {
		panic(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		panic(err)
	}
	return files
})
