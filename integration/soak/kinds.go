// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "math/rand/v2"

// A kind is one way to use a connection.
type kind struct {
	name   string
	weight int
	// orphans says that a handler may be left that ends with the connection only.
	orphans bool
	// run returns the outcome, or what is wrong.
	run func(*attempt) (string, error)
}

// kinds are mixed by their weights.
var kinds = []kind{
	{"echo", 200, false, echo},
	{"echo of 0 B", 40, false, empty},
	{"call", 200, false, call},
	{"call with metadata and deadline", 60, false, callWithContext},
	{"call that fails", 60, false, failingCall},
	{"call of what is not there", 20, false, unimplemented},
	{"call whose deadline passes", 20, false, lateCall},
	{"call whose deadline has passed", 10, false, pastCall},
	{"call canceled midway", 60, false, canceledCall},
	{"request of the limit", 2, false, fullRequest},
	{"request over the limit", 2, false, oversizedRequest},
	{"response of the limit", 2, false, fullResponse},
	{"response over the limit", 2, false, oversizedResponse},
	{"client stream", 60, false, upload},
	{"server stream", 60, false, download},
	{"ping-pong bidi stream", 40, false, pingPong},
	{"pipelined bidi stream", 60, false, pipeline},
	{"stream message over the limit", 2, false, oversizedMessage},
	{"server's stream message over the limit", 2, false, oversizedFromServer},
	{"server stream canceled midway", 30, false, canceledDownload},
	{"bidi stream canceled midway", 30, true, canceledChat},
	{"bidi stream whose deadline passes", 10, true, lateChat},
	{"stream abandoned", 20, true, abandoned},
}

// A mixture draws kinds.
type mixture struct {
	kinds []int // indexes of kinds
	total int
}

// newMixture returns a mixture for a target, without the kinds that are named.
func newMixture(orphans bool, without map[string]bool) *mixture {
	m := new(mixture)
	for i, k := range kinds {
		if without[k.name] || k.orphans && !orphans {
			continue
		}
		m.kinds = append(m.kinds, i)
		m.total += k.weight
	}
	return m
}

// draw returns the index of a kind.
func (m *mixture) draw(rng *rand.Rand) int {
	n := rng.IntN(m.total)
	for _, i := range m.kinds {
		if n -= kinds[i].weight; n < 0 {
			return i
		}
	}
	panic("unreachable")
}
