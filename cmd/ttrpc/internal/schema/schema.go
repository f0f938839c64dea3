// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package schema finds descriptions of services and messages: in .proto files, in compiled
// sets, by the server's reflection, and among those that are built in. They are looked at in
// this order, and the first that has a name counts.
package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
)

// Flags say where to look.
type Flags struct {
	Proto       []string
	ImportPaths []string
	Protosets   []string
	ProtosetOut string // where [Schema.Save] writes; may be empty
}

// Register adds the flags to a command.
func (f *Flags) Register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Proto, "proto", nil, "`FILE`.proto that describes services; may be repeated")
	flags.StringArrayVarP(&f.ImportPaths, "import-path", "I", nil, "`DIR` in which .proto files and their imports are looked for; may be repeated")
	flags.StringArrayVar(&f.Protosets, "protoset", nil, "`FILE` of \"protoc --descriptor_set_out --include_imports\"; may be repeated")
	flags.StringVar(&f.ProtosetOut, "protoset-out", "", "write the descriptions that were used to `FILE`, for --protoset")
}

// Open reads what the flags name. The client may be nil: then nothing is asked by reflection.
// A client is asked when something is looked for that the flags' files do not have, and no
// longer than ctx lasts. Errors are of type [*cli.Exit].
func (f *Flags) Open(ctx context.Context, client *ttrpc.Client) (*Schema, error) {
	given, err := f.read(ctx)
	if err != nil {
		return nil, &cli.Exit{Code: cli.ExitInput, Err: err}
	}
	s := &Schema{ctx: ctx, out: f.ProtosetOut, given: given}
	if client != nil {
		s.server = newServer(ctx, client)
	}
	return s, nil
}

// A Schema is what is known of services and messages. Its methods may be called
// concurrently.
type Schema struct {
	ctx    context.Context // for what has no context of its own: the types of Any values
	out    string
	given  *layer
	server *server // or nil
}

// Close ends the conversation with the server's reflection. What is known stays known.
func (s *Schema) Close() {
	if s.server != nil {
		s.server.client.Close()
	}
}

// Method finds a method by "package.Service/Method", also with a slash before it or with a
// dot between. If nothing describes it, the error wraps [ErrNotFound], and is, as all are, of
// type [*cli.Exit].
func (s *Schema) Method(ctx context.Context, name string) (protoreflect.MethodDescriptor, error) {
	service, method, err := SplitMethod(name)
	if err != nil {
		return nil, err
	}
	found, err := s.Find(ctx, service)
	if err != nil {
		return nil, err
	}
	described, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, cli.Input("", "%s is a %s, not a service", service, Kind(found))
	}
	if m := described.Methods().ByName(protoreflect.Name(method)); m != nil {
		return m, nil
	}
	return nil, cli.Input("Its methods are: "+strings.Join(methodNames(described), ", ")+".",
		"service %s has no method %q: %w", service, method, ErrNotFound)
}

func methodNames(service protoreflect.ServiceDescriptor) (names []string) {
	for i := range service.Methods().Len() {
		names = append(names, string(service.Methods().Get(i).Name()))
	}
	return names
}

// SplitMethod splits the name of a method in all the forms that [Schema.Method] takes. Errors
// are of type [*cli.Exit].
func SplitMethod(name string) (service, method string, err error) {
	trimmed := strings.TrimPrefix(name, "/")
	i := strings.LastIndexByte(trimmed, '/')
	if i < 0 {
		i = strings.LastIndexByte(trimmed, '.')
	}
	if i <= 0 || i == len(trimmed)-1 {
		return "", "", cli.Usage(`Write it as package.Service/Method. "ttrpc list ADDRESS SERVICE" lists a service's methods.`,
			"%q is not the name of a method", name)
	}
	return trimmed[:i], trimmed[i+1:], nil
}

// Services lists the names of all services, sorted: those in the files of the flags, and those
// of the server, or, without a client, those that are built in. The error is of type
// [*cli.Exit] and says why the server has not told; the names of the files are returned with it.
func (s *Schema) Services(ctx context.Context) ([]string, error) {
	names := s.given.services()
	var err error
	if s.server == nil {
		names = append(names, builtin().services()...)
	} else {
		var more []string
		more, err = s.server.list(ctx)
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// Given returns the files that the flags have named, and all that they import.
func (s *Schema) Given() []protoreflect.FileDescriptor {
	var all []protoreflect.FileDescriptor
	s.given.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		all = append(all, file)
		return true
	})
	return all
}

// Find finds a service, method, message, enum, field or extension by its full name. If nothing
// describes it, the error wraps [ErrNotFound], and is, as all are, of type [*cli.Exit].
func (s *Schema) Find(ctx context.Context, name string) (protoreflect.Descriptor, error) {
	full := protoreflect.FullName(strings.TrimPrefix(name, "."))
	if !full.IsValid() {
		return nil, cli.Usage("Write it as package.Name.", "%q is not the name of a service, method or message", name)
	}
	if d, err := s.given.find(full); err == nil {
		return d, nil
	}
	var refused error
	if s.server != nil {
		var d protoreflect.Descriptor
		if d, refused = s.server.find(ctx, full); d != nil {
			return d, nil
		}
	}
	if d, err := builtin().find(full); err == nil {
		return d, nil
	}
	return nil, s.notFound(full, refused)
}

// notFound is the error for a name that nothing describes.
func (s *Schema) notFound(name protoreflect.FullName, refused error) error {
	exit := cli.Input(DescribeHint, "%s: %w", name, ErrNotFound)
	var why *cli.Exit
	if errors.As(refused, &why) {
		exit = &cli.Exit{Code: why.Code, Err: fmt.Errorf("%s: %w, and %w", name, ErrNotFound, why.Err), Hint: why.Hint}
	}
	if near := s.near(string(name)); near != "" && near != string(name) {
		exit.Hint = "Is " + near + " meant?"
	}
	return exit
}

// near returns the service whose name is likely to be meant, or "".
func (s *Schema) near(name string) string {
	all := slices.Concat(s.given.services(), builtin().services())
	if s.server != nil {
		all = append(all, s.server.listed()...)
	}
	slices.Sort(all)
	last := name[strings.LastIndexByte(name, '.')+1:]
	found := ""
	for _, known := range all {
		if strings.EqualFold(known, name) {
			return known
		}
		if strings.EqualFold(known[strings.LastIndexByte(known, '.')+1:], last) {
			found = known
		}
	}
	return found
}

// Kind returns in a word what a descriptor describes.
func Kind(d protoreflect.Descriptor) string {
	switch d := d.(type) {
	case protoreflect.ServiceDescriptor:
		return "service"
	case protoreflect.MethodDescriptor:
		return "method"
	case protoreflect.MessageDescriptor:
		return "message"
	case protoreflect.EnumDescriptor:
		return "enum"
	case protoreflect.EnumValueDescriptor:
		return "value of an enum"
	case protoreflect.FieldDescriptor:
		if d.IsExtension() {
			return "extension"
		}
		return "field"
	case protoreflect.OneofDescriptor:
		return "oneof"
	default:
		return "file"
	}
}

// ErrNotFound says that nothing describes a name.
var ErrNotFound = errors.New("no description was found")
