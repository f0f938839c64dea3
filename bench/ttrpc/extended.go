// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build extended

package main

import "github.com/containerd/ttrpc"

// options are of clients. Servers need none.
var options = []ttrpc.ClientOpts{ttrpc.WithExtensions()}
