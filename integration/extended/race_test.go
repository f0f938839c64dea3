// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux && race

package extended

// With the race detector all is slower, and takes more memory.
const (
	fileMessages = 20_000
	killRounds   = 4
	largest      = 64 << 20
	stuckMemory  = 192 << 20
)
