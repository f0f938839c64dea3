// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package schema finds descriptions of services and messages: in .proto files, in compiled
// sets, by the server's reflection, and among those that are built in.
package schema

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/containerd/ttrpc"
)

// Flags say where to look.
type Flags struct {
	Proto       []string
	ImportPaths []string
	Protosets   []string
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {}

// Open reads what the flags name. The client may be nil: then nothing is asked by reflection.
// Errors are of type [*cli.Exit].
func (f *Flags) Open(ctx context.Context, client *ttrpc.Client) (*Schema, error) {
	return new(Schema), nil
}

// A Schema is what is known of services and messages. Its methods may be called
// concurrently.
type Schema struct{}

// Method finds a method by "package.Service/Method", also with a slash before it or with a
// dot between.
func (s *Schema) Method(ctx context.Context, name string) (protoreflect.MethodDescriptor, error) {
	return nil, protoregistry.NotFound
}

// Services lists the names of all services, sorted.
func (s *Schema) Services(ctx context.Context) ([]string, error) { return nil, nil }

// Find finds a service, method, message, enum, field or extension by its full name.
func (s *Schema) Find(ctx context.Context, name string) (protoreflect.Descriptor, error) {
	return nil, protoregistry.NotFound
}

// Types resolves the types of Any values and extensions, for protojson. Reflection is not
// asked for the types of Any values during a call of its own.
func (s *Schema) Types() interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
} {
	return protoregistry.GlobalTypes
}

// ErrNotFound says that nothing describes a name.
var ErrNotFound = errors.New("no description was found")
