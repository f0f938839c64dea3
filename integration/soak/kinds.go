// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
)

// A kind is one way to use a connection.
type kind struct {
	name   string
	weight int
	leaves leaving
	// run returns the outcome, or what is wrong.
	run func(*attempt) (string, error)
}

// A leaving says whether a kind may leave a handler that ends with the connection only.
type leaving int

const (
	leavesNothing leaving = iota
	leavesClassic         // in classic mode, where nothing tells it that the caller has given up
	leavesAlways
)

// orphans tells whether such a handler may be left in the mode.
func (l leaving) orphans(m mode) bool {
	return l == leavesAlways || l == leavesClassic && m == classic
}

// kinds are mixed by their weights; extendedKinds come to them in extended mode.
var kinds = []kind{
	{"echo", 200, leavesNothing, echo},
	{"echo of 0 B", 40, leavesNothing, empty},
	{"call", 200, leavesNothing, call},
	{"call with metadata and deadline", 60, leavesNothing, callWithContext},
	{"call that fails", 60, leavesNothing, failingCall},
	{"call of what is not there", 20, leavesNothing, unimplemented},
	{"call whose deadline passes", 20, leavesNothing, lateCall},
	{"call whose deadline has passed", 10, leavesNothing, pastCall},
	{"call canceled midway", 60, leavesNothing, canceledCall},
	{"request of the limit", 2, leavesNothing, fullRequest},
	{"request over the limit", 2, leavesNothing, oversizedRequest},
	{"response of the limit", 2, leavesNothing, fullResponse},
	{"response over the limit", 2, leavesNothing, oversizedResponse},
	{"large call beside small ones", 5, leavesNothing, largeBesideSmall},
	{"client stream", 60, leavesNothing, upload},
	{"server stream", 60, leavesNothing, download},
	{"server stream taken late", 5, leavesNothing, lateDownload},
	{"ping-pong bidi stream", 40, leavesNothing, pingPong},
	{"pipelined bidi stream", 60, leavesNothing, pipeline},
	{"stream message over the limit", 2, leavesNothing, oversizedMessage},
	{"server's stream message over the limit", 2, leavesNothing, oversizedFromServer},
	{"server stream canceled midway", 30, leavesNothing, canceledDownload},
	{"bidi stream canceled midway", 30, leavesClassic, canceledChat},
	{"bidi stream whose deadline passes", 10, leavesClassic, lateChat},
	{"stream abandoned", 20, leavesAlways, abandoned},
}

// A mixture draws kinds.
type mixture struct {
	kinds []kind
	total int
}

// newMixture returns a mixture for connections of a mode, whether or not these may have
// orphans, without the kinds that are named.
func newMixture(mode mode, orphans bool, without map[string]bool) *mixture {
	all := kinds
	if mode == extended {
		all = slices.Concat(kinds, extendedKinds)
	}
	m := new(mixture)
	for _, k := range all {
		if without[k.name] || k.leaves.orphans(mode) && !orphans {
			continue
		}
		m.kinds = append(m.kinds, k)
		m.total += k.weight
	}
	return m
}

// isKind tells whether there is a kind of that name, in any mode.
func isKind(name string) bool {
	is := func(k kind) bool { return k.name == name }
	return slices.ContainsFunc(kinds, is) || slices.ContainsFunc(extendedKinds, is)
}

// draw returns a kind.
func (m *mixture) draw(rng *rand.Rand) kind {
	n := rng.IntN(m.total)
	for _, k := range m.kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	panic("unreachable")
}
