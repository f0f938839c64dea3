// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client of net/rpc.
package main

import (
	"net/rpc"

	"github.com/containerd/ttrpc/bench/measure/minimal"
)

func main() {
	var response []byte
	minimal.Answered(rpc.NewClient(minimal.Dial()).Call("Echo.Echo", []byte("hello"), &response))
}
