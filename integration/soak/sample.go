// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
)

// A sample is what a process holds when no call is under way.
type sample struct {
	Goroutines  int    `json:"goroutines"`
	Descriptors int    `json:"descriptors"`
	Heap        uint64 `json:"heap"`   // in use after garbage collection
	Stacks      uint64 `json:"stacks"` // of goroutines
	RSS         uint64 `json:"rss"`
}

func (s *sample) String() string {
	return fmt.Sprintf("heap %s, stacks %s, RSS %s, %d goroutines, %d descriptors",
		size(s.Heap), size(s.Stacks), size(s.RSS), s.Goroutines, s.Descriptors)
}

// size makes bytes readable.
func size(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// count takes the part of a sample that costs nothing.
func count() *sample {
	return &sample{Goroutines: runtime.NumGoroutine(), Descriptors: descriptors()}
}

// measure takes a whole sample, after it has collected all garbage.
func measure() *sample {
	runtime.GC() // empties pools, the second time for good
	debug.FreeOSMemory()
	s := count()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Stacks, s.RSS = m.HeapAlloc, m.StackInuse, residentSize()
	return s
}

// descriptors counts the open files, the directory that lists them included.
func descriptors() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		panic(err) // the program needs Linux
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		panic(err)
	}
	return len(names)
}

func residentSize() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var total, resident uint64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		panic(err)
	}
	return resident * uint64(os.Getpagesize())
}

// A bound is how much something may grow between the first and the last third of a
// run: medians are compared, so that no single sample decides.
type bound struct {
	what  string
	get   func(*sample) uint64
	slack uint64
}

// The slack is what the runtime needs to vary: spans that are partly used, stacks
// that are kept.
var bounds = []bound{
	{"heap", func(s *sample) uint64 { return s.Heap }, 256 << 10},
	{"stacks", func(s *sample) uint64 { return s.Stacks }, 4 << 20},
	{"RSS", func(s *sample) uint64 { return s.RSS }, 32 << 20},
}

// minSamples is how many samples tell of growth: a third of what is left after the
// warm-up has a median then.
const minSamples = 12

// growth returns what has grown too much. The first fifth of the samples is the
// warm-up.
func growth(all []samples) []string {
	all = all[len(all)/5:]
	third := len(all) / 3
	var found []string
	for who := range all[0] {
		for _, b := range bounds {
			first, last := b.median(who, all[:third]), b.median(who, all[len(all)-third:])
			if last > first+first/5+b.slack {
				found = append(found, fmt.Sprintf("%s: %s grew from %s to %s", who, b.what, size(first), size(last)))
			}
		}
	}
	return found
}

func (b *bound) median(who string, all []samples) uint64 {
	values := make([]uint64, len(all))
	for i, s := range all {
		values[i] = b.get(s[who])
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
