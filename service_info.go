// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"cmp"
	"slices"
)

// ServiceInfo describes a service that a server has.
type ServiceInfo struct {
	Name    string       // "package.Service"
	Methods []MethodInfo // sorted by name
}

// MethodInfo describes a method of a service.
type MethodInfo struct {
	Name            string // without the service's
	Unary           bool   // one request, one answer, registered as a Method and not as a Stream
	StreamingClient bool   // the client may send any number of messages, else it sends one
	StreamingServer bool   // the server may send any number of messages, else it returns one
}

// Services returns the services that have been registered so far, sorted by name. The
// caller may change what it gets.
func (s *Server) Services() []ServiceInfo {
	all := s.dispatcher.services.all()
	if all == nil {
		return nil
	}
	infos := make([]ServiceInfo, 0, len(all))
	for name, svc := range all {
		infos = append(infos, ServiceInfo{name, svc.describe()})
	}
	slices.SortFunc(infos, func(a, b ServiceInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos
}

// describe returns what find finds.
func (s *service) describe() []MethodInfo {
	methods := make([]MethodInfo, 0, len(s.methods)+len(s.streams))
	for name := range s.methods {
		methods = append(methods, MethodInfo{Name: name, Unary: true})
	}
	for name, m := range s.streams {
		methods = append(methods, MethodInfo{name, false, m.info.StreamingClient, m.info.StreamingServer})
	}
	slices.SortFunc(methods, func(a, b MethodInfo) int { return cmp.Compare(a.Name, b.Name) })
	return methods
}
