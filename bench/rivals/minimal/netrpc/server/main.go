// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server of net/rpc.
package main

import (
	"net/rpc"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

// Echo is registered with net/rpc.
type Echo struct{}

// Echo returns what it gets.
func (Echo) Echo(request []byte, response *[]byte) error {
	*response = request
	return nil
}

func main() {
	minimal.Must(rpc.Register(Echo{}))
	rpc.Accept(minimal.Listener())
}
