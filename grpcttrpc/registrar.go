// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"fmt"
	"reflect"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/containerd/ttrpc"
)

// A Registrar registers services that were written for gRPC with a ttrpc server. It is what
// the Register functions take that protoc-gen-go-grpc generates, and what gRPC's reflection
// asks. Its methods may be used concurrently.
type Registrar struct {
	server *ttrpc.Server
	config servedConfig

	mu       sync.Mutex
	metadata map[string]any // of the services that were registered here, by name
}

// NewRegistrar returns what registers gRPC's services with server. That may be the server of
// a client's services, see ttrpc.WithClientServices, and may have services of ttrpc's, too. It
// panics if the server or an option is nil.
func NewRegistrar(server *ttrpc.Server, opts ...ServerOption) *Registrar {
	if server == nil {
		panic("grpcttrpc: NewRegistrar was given no server")
	}
	r := &Registrar{server: server, config: servedConfig{codec: replacedCodec()}, metadata: make(map[string]any)}
	for i, opt := range opts {
		if opt == nil {
			panic(fmt.Sprintf("grpcttrpc: option %d of NewRegistrar is nil", i))
		}
		opt(&r.config)
	}
	return r
}

// RegisterService implements grpc.ServiceRegistrar. It panics if impl is not what desc wants,
// or the server has a service of that name already. Services may be added while the server
// runs.
func (r *Registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if impl != nil && desc.HandlerType != nil {
		wanted, got := reflect.TypeOf(desc.HandlerType).Elem(), reflect.TypeOf(impl)
		if !got.Implements(wanted) {
			panic(fmt.Errorf("grpcttrpc: the handler of %s is a %v, which is no %v", desc.ServiceName, got, wanted))
		}
	}
	served := &ttrpc.ServiceDesc{
		Methods: make(map[string]ttrpc.Method, len(desc.Methods)),
		Streams: make(map[string]ttrpc.Stream, len(desc.Streams)),
	}
	for _, s := range desc.Streams {
		method := newServedMethod(&r.config, desc.ServiceName, s.StreamName, impl)
		method.clientStreams, method.serverStreams = s.ClientStreams, s.ServerStreams
		served.Streams[s.StreamName] = ttrpc.Stream{
			Handler:         (&servedStreamMethod{method, s.Handler}).handle,
			StreamingClient: s.ClientStreams,
			StreamingServer: s.ServerStreams,
		}
	}
	for _, m := range desc.Methods {
		method := newServedMethod(&r.config, desc.ServiceName, m.MethodName, impl)
		served.Methods[m.MethodName] = (&servedUnaryMethod{method, m.Handler}).handle
		delete(served.Streams, m.MethodName) // as gRPC does
	}
	r.server.RegisterService(desc.ServiceName, served)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metadata[desc.ServiceName] = desc.Metadata
}

// GetServiceInfo returns all services of the server, by name: those that were registered
// here, and those that were registered with the server itself. The metadata of the latter is
// the name of their file, as generated code has it, if the program has their descriptor.
func (r *Registrar) GetServiceInfo() map[string]grpc.ServiceInfo {
	services := r.server.Services()
	infos := make(map[string]grpc.ServiceInfo, len(services))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range services {
		info := grpc.ServiceInfo{Methods: make([]grpc.MethodInfo, 0, len(s.Methods))}
		for _, m := range s.Methods {
			info.Methods = append(info.Methods, grpc.MethodInfo{
				Name: m.Name, IsClientStream: m.StreamingClient, IsServerStream: m.StreamingServer,
			})
		}
		if data, ok := r.metadata[s.Name]; ok {
			info.Metadata = data
		} else if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(s.Name)); err == nil {
			info.Metadata = d.ParentFile().Path()
		}
		infos[s.Name] = info
	}
	return infos
}
