// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Descriptors are compiled descriptions of services: what
// "protoc --descriptor_set_out=FILE --include_imports" writes. They know the kinds of methods,
// and a [ToTTRPC] that has them serves reflection.
type Descriptors struct {
	mu    sync.RWMutex // guards both, as a Reflection adds to them
	files *protoregistry.Files
	types *protoregistry.Types
}

// NewDescriptors returns the descriptions in the sets. A file may be in several. The error
// names a file that is imported and in none, or a name that is described twice.
func NewDescriptors(sets ...*descriptorpb.FileDescriptorSet) (*Descriptors, error) {
	d := newDescriptors()
	var all []*descriptorpb.FileDescriptorProto
	for _, set := range sets {
		all = append(all, set.GetFile()...)
	}
	if err := d.add(all); err != nil {
		return nil, err
	}
	return d, nil
}

func newDescriptors() *Descriptors {
	return &Descriptors{files: new(protoregistry.Files), types: new(protoregistry.Types)}
}

// add adds files that are not there yet.
func (d *Descriptors) add(files []*descriptorpb.FileDescriptorProto) error {
	all := map[string]*descriptorpb.FileDescriptorProto{}
	for _, file := range files {
		all[file.GetName()] = file
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		failed = errors.Join(failed, d.addLocked(name, all))
	}
	return failed
}

// addLocked adds a file, after those that it imports. What is in neither is taken from those
// that the program has, such as google/protobuf/any.proto.
func (d *Descriptors) addLocked(name string, all map[string]*descriptorpb.FileDescriptorProto) error {
	if _, err := d.files.FindFileByPath(name); err == nil {
		return nil
	}
	file := all[name]
	if file == nil {
		linked, err := protoregistry.GlobalFiles.FindFileByPath(name)
		if err != nil {
			return errors.New("bridge: " + name + " is imported and not described: protoc needs --include_imports")
		}
		return d.registerLocked(linked)
	}
	delete(all, name) // so that files that import each other come to an end
	for _, imported := range file.GetDependency() {
		if err := d.addLocked(imported, all); err != nil {
			return err
		}
	}
	described, err := protodesc.NewFile(file, d.files)
	if err != nil {
		return err
	}
	return d.registerLocked(described)
}

func (d *Descriptors) registerLocked(file protoreflect.FileDescriptor) error {
	if err := d.files.RegisterFile(file); err != nil {
		return err
	}
	return d.registerExtensionsLocked(file)
}

// registerExtensionsLocked registers the extensions in a file or message.
func (d *Descriptors) registerExtensionsLocked(in interface {
	Extensions() protoreflect.ExtensionDescriptors
	Messages() protoreflect.MessageDescriptors
}) error {
	for i := range in.Extensions().Len() {
		if err := d.types.RegisterExtension(dynamicpb.NewExtensionType(in.Extensions().Get(i))); err != nil {
			return err
		}
	}
	for i := range in.Messages().Len() {
		if err := d.registerExtensionsLocked(in.Messages().Get(i)); err != nil {
			return err
		}
	}
	return nil
}

// Kind implements [Methods].
func (d *Descriptors) Kind(_ context.Context, service, method string) (Kind, error) {
	found, err := d.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return Unknown, nil
	}
	described, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return Unknown, nil
	}
	m := described.Methods().ByName(protoreflect.Name(method))
	if m == nil {
		return Unknown, nil
	}
	return KindOf(m.IsStreamingClient(), m.IsStreamingServer()), nil
}

// ServiceNames returns the names of the services that are described, sorted.
func (d *Descriptors) ServiceNames() (names []string) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			names = append(names, string(file.Services().Get(i).FullName()))
		}
		return true
	})
	slices.Sort(names)
	return names
}

// FindFileByPath implements [protodesc.Resolver].
func (d *Descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.files.FindFileByPath(path)
}

// FindDescriptorByName implements [protodesc.Resolver].
func (d *Descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.files.FindDescriptorByName(name)
}

// extension returns what find finds among the extensions.
func (d *Descriptors) extension(find func(*protoregistry.Types) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return find(d.types)
}

// extensions returns the extensions of a message.
func (d *Descriptors) extensions(message protoreflect.FullName) (all []protoreflect.ExtensionType) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.types.RangeExtensionsByMessage(message, func(x protoreflect.ExtensionType) bool {
		all = append(all, x)
		return true
	})
	return all
}
