// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Native is gRPC's stubs over calls of ttrpc, by package grpcttrpc.
package main

import (
	"context"
	"log"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"

	"github.com/containerd/ttrpc/bench/grpc/echo"
	"github.com/containerd/ttrpc/bench/grpc/overquic"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() {
	measure.Main(measure.System{Serve: serve, Dial: dial, Over: over, Media: overquic.Media})
}

func serve(l net.Listener) {
	s, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	measure.Must(err)
	echo.Register(grpcttrpc.NewRegistrar(s))
	log.Fatal(s.Serve(context.Background(), l))
}

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return over(conn), nil
}

func over(conn net.Conn) measure.Client {
	c := ttrpc.NewClient(conn, ttrpc.WithExtensions())
	return echo.NewClient(grpcttrpc.NewClientConn(c), c.Close)
}
