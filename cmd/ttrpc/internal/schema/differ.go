// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Differences returns which of a method, its request and its answer the server describes in
// another way than the files given, which count. It is empty if there are no such files, or
// the server does not describe them.
func (s *Schema) Differences(ctx context.Context, method protoreflect.MethodDescriptor) (names []protoreflect.FullName) {
	if s.server == nil {
		return nil
	}
	for _, d := range []protoreflect.Descriptor{method, method.Input(), method.Output()} {
		given, err := s.given.find(d.FullName())
		if err != nil {
			continue
		}
		reflected, _ := s.server.find(ctx, d.FullName())
		if reflected != nil && !proto.Equal(described(given), described(reflected)) {
			names = append(names, d.FullName())
		}
	}
	return names
}

// described returns a method or message as it is compared: without options.
func described(d protoreflect.Descriptor) proto.Message {
	switch d := d.(type) {
	case protoreflect.MethodDescriptor:
		m := protodesc.ToMethodDescriptorProto(d)
		m.Options = nil
		return m
	case protoreflect.MessageDescriptor:
		m := protodesc.ToDescriptorProto(d)
		m.Options = nil
		for _, field := range m.Field {
			field.Options = nil
		}
		return m
	}
	return nil
}
