// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package methods is what those who count and trace calls keep of each method, so that what
// peers make up costs nothing.
package methods

import (
	"maps"
	"sync"
	"sync/atomic"
)

const (
	// Other takes the place of the names that are not kept.
	Other = "_OTHER"

	// most is how many names are kept that nobody vouches for. A program that calls more
	// methods than that passes on what others name.
	most = 1000

	// longest is how many bytes such a name may have.
	longest = 256
)

// A Table has a T for each method. It may be used concurrently.
type Table[T any] struct {
	make  func(fullMethod string) *T
	other *T

	byName atomic.Pointer[map[string]*T] // is replaced, so that look-ups take no lock

	mu    sync.Mutex // held to replace it
	found int        // how many of it nobody vouches for
}

// NewTable returns a table whose entries are made by newEntry, and that of [Other] at once.
func NewTable[T any](newEntry func(fullMethod string) *T) *Table[T] {
	t := &Table[T]{make: newEntry, other: newEntry(Other)}
	t.byName.Store(new(map[string]*T))
	return t
}

// Find returns what there is of a method, or, if it is not kept, of all others. One that is
// known, because the program has registered it, is always kept. A client's, whose name the
// program has chosen, is if it has at most 256 bytes and is among the first thousand.
func (t *Table[T]) Find(fullMethod string, known bool) *T {
	if m := (*t.byName.Load())[fullMethod]; m != nil {
		return m
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := *t.byName.Load()
	if m := all[fullMethod]; m != nil {
		return m
	}
	if !known {
		if t.found == most || len(fullMethod) > longest {
			return t.other
		}
		t.found++
	}
	all = maps.Clone(all)
	if all == nil {
		all = make(map[string]*T, 1)
	}
	m := t.make(fullMethod)
	all[fullMethod] = m
	t.byName.Store(&all)
	return m
}

// Other returns what there is of the methods that are not kept.
func (t *Table[T]) Other() *T { return t.other }
