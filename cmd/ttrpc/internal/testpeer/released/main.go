// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command released serves demo.Greeter on a unix socket with the ttrpc that it is compiled
// with. It prints a line when it listens, and ends when standard input does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer"
)

func main() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	testpeer.Register(server)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	if err := server.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
		log.Fatal(err)
	}
}
