// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build v1.0

package main

import "github.com/containerd/ttrpc"

// onCloseWait reports what later releases do; this one has nothing to wait with.
func onCloseWait(*ttrpc.Client) error { return nil }
