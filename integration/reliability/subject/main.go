// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command subject is what is treated badly: a server, a client, or both, that
// the driver steers by net/rpc on standard input and output. It is built once
// against this library and once, with the build tag released, against a
// release, and uses nothing that the release lacks but in options_ours.go.
package main

import (
	"io"
	"log"
	"net/rpc"
	"os"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// stdio is the connection to the driver.
type stdio struct {
	io.Reader
	io.WriteCloser
}

func main() {
	log.SetFlags(0)
	s := newSubject()
	if err := rpc.RegisterName(control.Service, s); err != nil {
		log.Fatal(err)
	}
	rpc.ServeConn(stdio{os.Stdin, os.Stdout}) // until the driver closes it, or ends
}
