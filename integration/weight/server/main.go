// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server.
package main

import (
	"context"
	"net"
	"os"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/weight/hello"
)

type greeter struct{}

func (greeter) Greet(_ context.Context, g *hello.Greeting) (*hello.Greeting, error) { return g, nil }

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		panic(err)
	}
	hello.RegisterGreeterService(server, greeter{})
	panic(server.Serve(context.Background(), l))
}
