// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ttrpc

// takeRights says that the kernel knows no such thing.
func (*channel) takeRights(bool) (known bool) { return false }
