// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"reflect"
	"testing"
)

func TestServices(t *testing.T) {
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Services(); got != nil {
		t.Errorf("a server without services has %v", got)
	}
	method := func(context.Context, func(any) error) (any, error) { return nil, nil }
	handler := func(context.Context, StreamServer) (any, error) { return nil, nil }
	s.RegisterService("b.Streams", &ServiceDesc{
		Methods: map[string]Method{"Unary": method},
		Streams: map[string]Stream{
			"Client": {Handler: handler, StreamingClient: true},
			"Server": {Handler: handler, StreamingServer: true},
			"All":    {Handler: handler, StreamingClient: true, StreamingServer: true},
			"None":   {Handler: handler},
		},
	})
	s.Register("a.Methods", map[string]Method{"Z": method, "A": method})
	s.Register("c.Empty", nil)
	want := []ServiceInfo{
		{"a.Methods", []MethodInfo{{Name: "A", Unary: true}, {Name: "Z", Unary: true}}},
		{"b.Streams", []MethodInfo{
			{"All", false, true, true},
			{"Client", false, true, false},
			{"None", false, false, false},
			{"Server", false, false, true},
			{"Unary", true, false, false},
		}},
		{"c.Empty", []MethodInfo{}},
	}
	got := s.Services()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the services are\n%v, want\n%v", got, want)
	}
	got[0].Name, got[0].Methods[0].Name = "changed", "changed"
	if got := s.Services(); !reflect.DeepEqual(got, want) {
		t.Errorf("once a caller has changed what it got, the services are\n%v, want\n%v", got, want)
	}
}
