// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Control asks for all that the minimal programs do without.
package main

import (
	"context"
	"net"
	"os"

	"github.com/containerd/ttrpc"
)

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		panic(err)
	}
	go server.Serve(context.Background(), l)
	client, err := ttrpc.Dial(os.Args[1])
	if err != nil {
		panic(err)
	}
	defer client.Close()
	yes, err := client.Extended(context.Background())
	if err != nil {
		panic(err)
	}
	if yes {
		os.Stdout.WriteString("extended")
	}
}
