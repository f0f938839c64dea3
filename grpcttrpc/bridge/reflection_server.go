// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// described is what Methods are that know descriptions as well.
type described interface {
	protodesc.Resolver
	ServiceNames() []string
	extension(find func(*protoregistry.Types) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error)
	extensions(message protoreflect.FullName) []protoreflect.ExtensionType
}

// registerReflection has a server serve reflection: of its own services, and of all that the
// bridge passes on and has descriptions of.
func registerReflection(server *grpc.Server, methods []Methods) {
	r := &resolver{server: server}
	for _, m := range methods {
		if d, ok := m.(described); ok {
			r.all = append(r.all, d)
		}
	}
	if r.all == nil {
		return
	}
	options := reflection.ServerOptions{Services: r, DescriptorResolver: r, ExtensionResolver: r}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(options))
}

// A resolver looks things up in all descriptions in turn, and then in the program's own.
type resolver struct {
	server *grpc.Server
	all    []described
}

// GetServiceInfo implements [reflection.ServiceInfoProvider].
func (r *resolver) GetServiceInfo() map[string]grpc.ServiceInfo {
	infos := r.server.GetServiceInfo()
	for _, d := range r.all {
		for _, name := range d.ServiceNames() {
			infos[name] = grpc.ServiceInfo{} // the names are all that is asked for
		}
	}
	return infos
}

// FindFileByPath implements [protodesc.Resolver].
func (r *resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	for _, d := range r.all {
		if found, err := d.FindFileByPath(path); err == nil {
			return found, nil
		}
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements [protodesc.Resolver].
func (r *resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	for _, d := range r.all {
		if found, err := d.FindDescriptorByName(name); err == nil {
			return found, nil
		}
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// extension looks an extension up.
func (r *resolver) extension(find func(*protoregistry.Types) (protoreflect.ExtensionType, error)) (protoreflect.ExtensionType, error) {
	for _, d := range r.all {
		if found, err := d.extension(find); err == nil {
			return found, nil
		}
	}
	return find(protoregistry.GlobalTypes)
}

// FindExtensionByName implements [reflection.ExtensionResolver].
func (r *resolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return r.extension(func(types *protoregistry.Types) (protoreflect.ExtensionType, error) {
		return types.FindExtensionByName(name)
	})
}

// FindExtensionByNumber implements [reflection.ExtensionResolver].
func (r *resolver) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return r.extension(func(types *protoregistry.Types) (protoreflect.ExtensionType, error) {
		return types.FindExtensionByNumber(message, number)
	})
}

// RangeExtensionsByMessage implements [reflection.ExtensionResolver].
func (r *resolver) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	for _, d := range r.all {
		for _, x := range d.extensions(message) {
			if !f(x) {
				return
			}
		}
	}
}
