// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build gogo

package main

import (
	"context"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/bench/measure"
)

// Releases before v1.2 have no streams.

func registerStreams(*ttrpc.Server) {}

func (c ttrpcClient) Stream(context.Context, measure.StreamKind, int, int) (measure.Stream, error) {
	return nil, measure.ErrNoStreams
}
