// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build released

package main

import (
	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// options are none: the release has no such options.
func options(control.Options) []ttrpc.ServerOpt { return nil }
