// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package mux

import "github.com/containerd/ttrpc/internal/leak"

var runAll = leak.Check
