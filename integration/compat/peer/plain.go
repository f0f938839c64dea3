// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !extended

package main

import "github.com/containerd/ttrpc"

var clientOptions []ttrpc.ClientOpts

// firstID is the one of a client's first call.
const firstID = 1

// What extended clients do before their first call, others do not.

func agreed(*ttrpc.Client) bool { return false }

func (raw) refuseHello() {}
