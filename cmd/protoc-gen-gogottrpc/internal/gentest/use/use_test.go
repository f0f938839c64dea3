// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package use

import (
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest/golden/gogo"
	"github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest/golden/gogo/locals"
	"github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc/internal/gentest/golden/gogo/other"
	"github.com/gogo/protobuf/types"
)

// The functions of a service, as other people's code uses them.
var (
	_ func(*ttrpc.Server, gogo.FooService)          = gogo.RegisterFooService
	_ func(*ttrpc.Client) gogo.FooService           = gogo.NewFooClient
	_ func(*ttrpc.Server, gogo.RegisterFooService_) = gogo.RegisterRegisterFooService
	_ func(*ttrpc.Client) gogo.RegisterFooService_  = gogo.NewRegisterFooClient
	_ func(*ttrpc.Server, locals.BuilderService)    = locals.RegisterBuilderService // built on every system
)

// TestInterface checks the methods of a service.
func TestInterface(t *testing.T) {
	want := map[string]string{
		"Unary":   "func(context.Context, *gogo.In) (*gogo.Out, error)",
		"Nothing": "func(context.Context, *other.Outer_Inner) (*types.Empty, error)",
		"Old":     "func(context.Context, *gogo.In) (*gogo.Out, error)",
	}
	typ, got := reflect.TypeFor[gogo.FooService](), map[string]string{}
	for i := range typ.NumMethod() {
		got[typ.Method(i).Name] = typ.Method(i).Type.String()
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v has the methods\n\t%v\nwant\n\t%v", typ, got, want)
	}
}

// TestMessages checks which methods gogo/protobuf's messages have.
func TestMessages(t *testing.T) {
	typ := reflect.TypeFor[*gogo.In]()
	for _, name := range []string{"Marshal", "MarshalTo", "MarshalToSizedBuffer", "Unmarshal", "Size", "String"} {
		if _, ok := typ.MethodByName(name); !ok {
			t.Errorf("messages have no method %s", name)
		}
	}
	for _, name := range []string{"GetText", "GetCounts", "GoString", "Equal"} {
		if _, ok := typ.MethodByName(name); ok {
			t.Errorf("messages have a method %s", name)
		}
	}
}

// serve serves what register registers until the test ends, and returns a client
// of it and a context for calls.
func serve(t *testing.T, register func(*ttrpc.Server)) (context.Context, *ttrpc.Client) {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(context.Background(), listener) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(func() {
		cancel()
		client.Close()
		server.Close()
		if err := <-done; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return ctx, client
}

// fooServer answers with gogo/protobuf's messages.
type fooServer struct {
	gogo.FooService
}

func (fooServer) Unary(_ context.Context, in *gogo.In) (*gogo.Out, error) {
	return &gogo.Out{Text: in.Text + in.Labels["a"]}, nil
}

func (fooServer) Nothing(_ context.Context, in *other.Outer_Inner) (*types.Empty, error) {
	if in.Text != "nothing" {
		return nil, errors.New("unexpected request")
	}
	return &types.Empty{}, nil
}

// TestCalls calls methods with gogo/protobuf's messages.
func TestCalls(t *testing.T) {
	ctx, client := serve(t, func(server *ttrpc.Server) {
		gogo.RegisterFooService(server, fooServer{})
	})
	foo := gogo.NewFooClient(client)
	out, err := foo.Unary(ctx, &gogo.In{Text: "one", Labels: map[string]string{"a": "b"}})
	if err != nil || out.Text != "oneb" {
		t.Errorf("Unary returned %v, %v", out, err)
	}
	if _, err := foo.Nothing(ctx, &other.Outer_Inner{Text: "nothing"}); err != nil {
		t.Errorf("Nothing returned %v", err)
	}
}
