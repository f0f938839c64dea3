// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build vt

package main

import "github.com/containerd/ttrpc"

var (
	options       = []ttrpc.ClientOpts{ttrpc.WithVTProto()}
	serverOptions = []ttrpc.ServerOpt{ttrpc.WithServerVTProto()}
)
