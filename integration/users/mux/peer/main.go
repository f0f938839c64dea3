// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peer is the other end of a trunk, in a process of its own, so that it can
// be built against a release.
//
//	peer runtime|plugin     be that side of the trunk that is file descriptor 3
//
// It ends when the trunk does.
package main

import (
	"context"
	"log"
	"os"

	nrinet "github.com/containerd/nri/pkg/net"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("peer: ")
	if len(os.Args) != 2 || os.Args[1] != exchange.Runtime.Name && os.Args[1] != exchange.Plugin.Name {
		log.Fatal("usage: peer runtime|plugin")
	}
	side := exchange.Runtime
	if os.Args[1] == exchange.Plugin.Name {
		side = exchange.Plugin
	}
	trunk, err := nrinet.NewFdConn(3)
	if err != nil {
		log.Fatal(err)
	}
	gone := make(chan struct{})
	end, err := exchange.Join(trunk, side, exchange.Options{OnClose: func() { close(gone) }})
	if err != nil {
		log.Fatal(err)
	}
	<-gone
	if err := end.Close(); err != nil {
		log.Fatal(err)
	}
	if err := end.Client.UserOnCloseWait(context.Background()); err != nil {
		log.Fatal(err)
	}
}
