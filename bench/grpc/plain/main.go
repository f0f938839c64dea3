// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Plain is gRPC without this library.
package main

import (
	"log"
	"net"

	"github.com/containerd/ttrpc/bench/grpc/echo"
	"github.com/containerd/ttrpc/bench/measure"
)

func main() {
	measure.Main(measure.System{Serve: serve, Dial: echo.DialPath, Over: echo.Over})
}

func serve(l net.Listener) { log.Fatal(echo.NewServer().Serve(l)) }
