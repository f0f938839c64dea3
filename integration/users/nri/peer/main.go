// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is a runtime or a plugin in a process of its own, so that it can be
// built against a release.
//
//	peer runtime SOCKET     serve one plugin; stdin ends when that has
//	peer plugin SOCKET      be the plugin of the runtime that listens there
package main

import (
	"context"
	"log"
	"os"

	"github.com/containerd/ttrpc/integration/users/nri/script"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("peer: ")
	script.Quiet(log.Printf)
	run := map[string]func(context.Context, string) error{"runtime": script.Serve, "plugin": script.Plugin}
	if len(os.Args) != 3 || run[os.Args[1]] == nil {
		log.Fatal("usage: peer runtime|plugin SOCKET")
	}
	if err := run[os.Args[1]](context.Background(), os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
