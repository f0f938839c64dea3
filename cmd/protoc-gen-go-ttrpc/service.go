// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
)

// service is a service with the names of what is declared for it.
type service struct {
	*protogen.Service
	wireName string
	methods  []*method

	serviceType  string // the interface that servers implement
	registerFunc string
	newFunc      string
	clientType   string // the interface of clients; serviceType if no method streams
	clientStruct string // what implements clientType
}

// method is a method with the names of what is declared for it.
type method struct {
	*protogen.Method
	wireName string
	goName   string

	// Of streaming methods only: the interfaces of the two ends of a stream and
	// what implements them.
	serverType   string
	serverStruct string
	clientType   string
	clientStruct string
}

// newService returns a service whose exported names are set.
func newService(desc *protogen.Service, prefix string, taken scope) *service {
	name := prefix + desc.GoName
	s := &service{
		Service:      desc,
		wireName:     string(desc.Desc.FullName()),
		serviceType:  taken.take(name + "Service"),
		registerFunc: taken.take("Register" + name + "Service"),
		newFunc:      taken.take("New" + name + "Client"),
	}
	s.clientType = s.serviceType
	methodNames := scope{}
	for _, methodDesc := range desc.Methods {
		m := &method{
			Method:   methodDesc,
			wireName: string(methodDesc.Desc.Name()),
			goName:   methodNames.take(methodDesc.GoName),
		}
		s.methods = append(s.methods, m)
	}
	if !s.hasStreams() {
		return s
	}
	s.clientType = taken.take(name + "Client")
	for _, m := range s.methods {
		if m.isStream() {
			m.serverType = taken.take(name + "_" + m.goName + "Server")
			m.clientType = taken.take(name + "_" + m.goName + "Client")
		}
	}
	return s
}

// nameStructs sets the unexported names of s. They come after the exported names
// of all services, because those are what other code uses.
func (s *service) nameStructs(prefix string, taken scope) {
	name := unexported(prefix + s.GoName)
	s.clientStruct = taken.take(name + "Client")
	for _, m := range s.methods {
		if m.isStream() {
			m.serverStruct = taken.take(name + "_" + m.goName + "Server")
			m.clientStruct = taken.take(name + "_" + m.goName + "Client")
		}
	}
}

func (s *service) hasUnary() bool {
	for _, m := range s.methods {
		if !m.isStream() {
			return true
		}
	}
	return false
}

func (s *service) hasStreams() bool {
	for _, m := range s.methods {
		if m.isStream() {
			return true
		}
	}
	return false
}

func (s *service) deprecated() bool {
	return s.Desc.Options().(*descriptorpb.ServiceOptions).GetDeprecated()
}

func (m *method) isStream() bool {
	return m.clientStreams() || m.serverStreams()
}

func (m *method) clientStreams() bool {
	return m.Desc.IsStreamingClient()
}

func (m *method) serverStreams() bool {
	return m.Desc.IsStreamingServer()
}

func (m *method) deprecated() bool {
	return m.Desc.Options().(*descriptorpb.MethodOptions).GetDeprecated()
}
