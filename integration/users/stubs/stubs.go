// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stubs calls all methods of generated services, through the stubs of both
// sides. It is a module of its own because those who need it cannot be one.
package stubs

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/containerd/ttrpc"
)

// A Service is what a generator wrote for one.
type Service struct {
	Name     string
	methods  reflect.Type
	register func(*ttrpc.Server, *ttrpc.Client)
	client   func(*ttrpc.Client) any
}

// Of makes a Service whose client implements the interface S of its server, as is
// so where no method streams.
func Of[S any](name string, register func(*ttrpc.Server, S), client func(*ttrpc.Client) S) Service {
	return Streaming(name, register, client, func(c S) S { return c })
}

// Streaming makes a Service whose client implements another interface than its
// server. serve makes the one out of the other.
func Streaming[S, C any](name string, register func(*ttrpc.Server, S), client func(*ttrpc.Client) C, serve func(C) S) Service {
	return Service{
		Name:     name,
		methods:  reflect.TypeFor[S](),
		register: func(s *ttrpc.Server, c *ttrpc.Client) { register(s, serve(client(c))) },
		client:   func(c *ttrpc.Client) any { return client(c) },
	}
}

// Forward sends all that comes.
func Forward[M any](receive func() (M, error), send func(M) error) error {
	for {
		m, err := receive()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := send(m); err != nil {
			return err
		}
	}
}

// Messages is what must be known of a kind of messages.
type Messages struct {
	// Fill sets all fields of a message to what depends on the seed.
	Fill  func(message any, seed int)
	Equal func(a, b any) bool

	// Failure is an error that handlers return, and IsFailure tells whether a
	// caller got what it means.
	Failure   error
	IsFailure func(error) bool
}

// Serve serves on a unix socket until the test ends, and returns a client.
func Serve(t *testing.T, register func(*ttrpc.Server)) *ttrpc.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "stubs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("B24: Serve returned %v", err)
		}
	})
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { client.Close() })
	return client
}
