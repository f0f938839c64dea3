// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// faults are what -fault makes the server do wrong, to see the checks catch it.
var faults = map[string]string{
	"corrupt":   "flips a bit of one answer",
	"reorder":   "swaps two messages of a stream",
	"lose":      "counts an answer that the caller does not get",
	"answer":    "answers a call that should fail",
	"hang":      "does not answer one call",
	"goroutine": "leaks goroutines",
	"fd":        "leaks file descriptors",
	"heap":      "leaks memory",
	"close":     "closes the server under its callers",
}

// faultAt is which chance to do wrong a fault takes.
const faultAt = 10

// A fault is one kind of fault, or none.
type fault struct {
	name    string
	chances atomic.Int64

	mu   sync.Mutex
	kept []any // what leaks
}

func newFault(name string) (*fault, error) {
	if _, ok := faults[name]; !ok && name != "" {
		return nil, fmt.Errorf("there is no fault %q, but %s", name, strings.Join(slices.Sorted(maps.Keys(faults)), ", "))
	}
	return &fault{name: name}, nil
}

// strikes tells, of a fault that strikes once, whether that is now. It spares calls
// whose callers may have given up.
func (f *fault) strikes(name string, o *order) bool {
	return f.name == name && o.Must && f.chances.Add(1) == faultAt
}

// leak is called at each quiet point, when all has been counted.
func (f *fault) leak() {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.name {
	case "goroutine":
		go func() { select {} }()
	case "fd":
		file, err := os.Open(os.DevNull)
		if err != nil {
			panic(err)
		}
		f.kept = append(f.kept, file)
	case "heap":
		f.kept = append(f.kept, make([]byte, 2<<20))
	}
}
