// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Back is a client of ttrpc by gRPC's stubs, a bridge, and a server of grpc-go.
package main

import (
	"context"
	"log"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"

	"github.com/containerd/ttrpc/bench/grpc/echo"
	"github.com/containerd/ttrpc/bench/grpc/kinds"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() {
	measure.Main(measure.System{Serve: serve, Dial: dial, Pass: pass})
}

func serve(l net.Listener) { log.Fatal(echo.NewServer().Serve(l)) }

func dial(path string) (measure.Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(conn, ttrpc.WithExtensions())
	return echo.NewClient(grpcttrpc.NewClientConn(c), c.Close), nil
}

func pass(l net.Listener, behind string) {
	conn, err := echo.Dial(behind)
	measure.Must(err)
	b := bridge.NewToGRPC(conn, bridge.Config{Methods: kinds.Kinds})
	s, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(b.Handler()))
	measure.Must(err)
	log.Fatal(s.Serve(context.Background(), l))
}
