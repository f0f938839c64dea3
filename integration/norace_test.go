// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package integration

const (
	atOnce = 100_000 // how many calls run at once
	calls  = atOnce  // how many are made
)
