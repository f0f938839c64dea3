// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A layer is descriptions from one source, with all that they import. What only reads may be
// called concurrently.
type layer struct {
	files *protoregistry.Files
	types *dynamicpb.Types
}

func newLayer() *layer {
	files := new(protoregistry.Files)
	return &layer{files, dynamicpb.NewTypes(files)}
}

func (l *layer) find(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return l.files.FindDescriptorByName(name)
}

// services returns the names of all services.
func (l *layer) services() (names []string) {
	l.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			names = append(names, string(file.Services().Get(i).FullName()))
		}
		return true
	})
	return names
}

// addDescribed adds a file that is described already, after what it imports.
func (l *layer) addDescribed(file protoreflect.FileDescriptor) error {
	if _, err := l.files.FindFileByPath(file.Path()); err == nil {
		return nil
	}
	for i := range file.Imports().Len() {
		if err := l.addDescribed(file.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return l.register(file)
}

func (l *layer) register(file protoreflect.FileDescriptor) error {
	err := l.files.RegisterFile(file)
	if err == nil {
		return nil
	}
	for _, name := range topNames(file) {
		if other, err := l.find(name); err == nil {
			return fmt.Errorf("%s is described in %s, and again in %s", name, other.ParentFile().Path(), file.Path())
		}
	}
	return fmt.Errorf("%s: %s", file.Path(), plain(err))
}

// topNames returns the names of what stands in no message of a file.
func topNames(file protoreflect.FileDescriptor) (names []protoreflect.FullName) {
	for i := range file.Messages().Len() {
		names = append(names, file.Messages().Get(i).FullName())
	}
	for i := range file.Enums().Len() {
		names = append(names, file.Enums().Get(i).FullName())
	}
	for i := range file.Services().Len() {
		names = append(names, file.Services().Get(i).FullName())
	}
	for i := range file.Extensions().Len() {
		names = append(names, file.Extensions().Get(i).FullName())
	}
	return names
}

// plain returns an error's text without the name of the library that made it.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ") // which the library uses at random
	return strings.TrimPrefix(text, "proto: ")
}

// describe adds files by their names, in order, each after those that it imports. elsewhere is
// where imports are looked for that are not among them.
func (l *layer) describe(all map[string]*descriptorpb.FileDescriptorProto, elsewhere func(path string) protoreflect.FileDescriptor) error {
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if err := l.describeFile(path, all, elsewhere, nil); err != nil {
			return err
		}
	}
	return nil
}

// describeFile adds one file. importers are the files through which it was come to.
func (l *layer) describeFile(path string, all map[string]*descriptorpb.FileDescriptorProto, elsewhere func(string) protoreflect.FileDescriptor, importers []string) error {
	if slices.Contains(importers, path) {
		return fmt.Errorf("files import each other: %s", strings.Join(append(importers, path), " → "))
	}
	if _, err := l.files.FindFileByPath(path); err == nil {
		return nil
	}
	file := all[path]
	if file == nil {
		if known := elsewhere(path); known != nil {
			return l.addDescribed(known)
		}
		return fmt.Errorf("%s imports %s, which is missing: protoc needs --include_imports", importers[len(importers)-1], path)
	}
	for _, imported := range file.GetDependency() {
		if err := l.describeFile(imported, all, elsewhere, append(importers, path)); err != nil {
			return err
		}
	}
	described, err := protodesc.NewFile(l.withOptions(file), l.files)
	if err != nil {
		return fmt.Errorf("%s: %s", path, plain(err))
	}
	return l.register(described)
}

// withOptions returns a file in which options are decoded that a file that it imports declares.
func (l *layer) withOptions(file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	declared := slices.ContainsFunc(file.GetDependency(), func(path string) bool {
		imported, err := l.files.FindFileByPath(path)
		return err == nil && imported.Extensions().Len() > 0
	})
	if !declared {
		return file
	}
	decoded := new(descriptorpb.FileDescriptorProto)
	data, err := proto.Marshal(file)
	if err != nil || (proto.UnmarshalOptions{Resolver: l.types}).Unmarshal(data, decoded) != nil {
		return file // protodesc tells what is wrong with it, or nobody needs the options
	}
	return decoded
}

// closure adds the files that describe something, each after those that it imports.
func closure(set *descriptorpb.FileDescriptorSet, seen map[string]bool, file protoreflect.FileDescriptor) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		closure(set, seen, file.Imports().Get(i).FileDescriptor)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
}
