// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package integration

// The race detector dies of more than 8,128 goroutines, of which each call
// takes two, and remembers something of each for good.
const (
	atOnce = 2_000
	calls  = 5 * atOnce
)
