// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build declining

package main

import "github.com/containerd/ttrpc"

var serverOptions []ttrpc.ServerOpt
