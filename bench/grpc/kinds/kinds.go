// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kinds tells bridges what kinds the methods of the service have.
package kinds

import (
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// Kinds are those of the service that is measured.
var Kinds = []bridge.Methods{bridge.Table{
	"bench.Echo/Echo":     bridge.Unary,
	"bench.Echo/Get":      bridge.Unary,
	"bench.Echo/Upload":   bridge.ClientStream,
	"bench.Echo/Download": bridge.ServerStream,
	"bench.Echo/Chat":     bridge.BidiStream,
}}
