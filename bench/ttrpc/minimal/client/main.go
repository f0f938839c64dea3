// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Client is a minimal client of ttrpc.
package main

import (
	"context"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/bench/measure/minimal"
	"github.com/containerd/ttrpc/bench/ttrpc/message"
)

func main() {
	c := ttrpc.NewClient(minimal.Dial())
	minimal.Answered(c.Call(context.Background(), "bench.Echo", "Echo", message.New([]byte("hello")), new(message.Message)))
}
