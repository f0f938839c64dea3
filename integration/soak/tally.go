// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "sync/atomic"

// A tally tells which calls were counted, whatever their number or order: two
// that are equal have counted the same.
type tally struct {
	Calls uint64 `json:"calls"`
	Sum   uint64 `json:"sum"`
}

// A counter is a tally that grows. It is to be read when nothing is added.
type counter struct{ calls, sum atomic.Uint64 }

func (c *counter) add(call uint64) {
	c.calls.Add(1)
	c.sum.Add(mix(call))
}

func (c *counter) get() tally { return tally{c.calls.Load(), c.sum.Load()} }
