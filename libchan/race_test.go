// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && race

package libchan

// manyChannels is how many channels are open at once where that counts: fewer, for what is slow here.
const manyChannels = 1000
