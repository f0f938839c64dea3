// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Server is a minimal server of ttrpc.
package main

import (
	"context"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/bench/measure/minimal"
	"github.com/containerd/ttrpc/bench/ttrpc/message"
)

func main() {
	s, err := ttrpc.NewServer()
	minimal.Must(err)
	s.Register("bench.Echo", map[string]ttrpc.Method{
		"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
			m := new(message.Message)
			return m, unmarshal(m)
		},
	})
	minimal.Must(s.Serve(context.Background(), minimal.Listener()))
}
