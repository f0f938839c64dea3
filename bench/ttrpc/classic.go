// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !extended && !vt

package main

import "github.com/containerd/ttrpc"

var (
	options       []ttrpc.ClientOpts
	serverOptions []ttrpc.ServerOpt
)
