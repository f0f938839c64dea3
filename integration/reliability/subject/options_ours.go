// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// options are what the driver asks for beside the handshake.
func options(o control.Options) []ttrpc.ServerOpt {
	opts := []ttrpc.ServerOpt{ttrpc.WithServerLimits(ttrpc.Limits{Handlers: o.MaxHandlers})}
	if o.HandshakeTimeout > 0 {
		opts = append(opts, ttrpc.WithServerTimeouts(ttrpc.Timeouts{Handshake: o.HandshakeTimeout}))
	}
	if o.Recover {
		opts = append(opts, ttrpc.WithRecoverPanics())
	}
	return opts
}
