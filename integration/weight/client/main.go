// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client.
package main

import (
	"context"
	"net"
	"os"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/weight/hello"
)

func main() {
	conn, err := net.Dial("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	client := hello.NewGreeterClient(ttrpc.NewClient(conn))
	g, err := client.Greet(context.Background(), &hello.Greeting{Text: "hello"})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(g.Text)
}
