// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Front is a client of grpc-go, a bridge, and a server of ttrpc.
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
	measure.Main(measure.System{Serve: serve, Dial: echo.DialPath, Pass: pass})
}

func serve(l net.Listener) {
	s, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	measure.Must(err)
	echo.Register(grpcttrpc.NewRegistrar(s))
	log.Fatal(s.Serve(context.Background(), l))
}

func pass(l net.Listener, behind string) {
	c, err := ttrpc.Dial("unix:"+behind, ttrpc.WithExtensions())
	measure.Must(err)
	b := bridge.NewToTTRPC(c, bridge.Config{Methods: kinds.Kinds})
	log.Fatal(b.NewServer().Serve(l))
}
