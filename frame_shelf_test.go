// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"runtime"
	"testing"
	"time"
)

// TestShelves holds that large frames are found again, and that all shelves have a bound.
func TestShelves(t *testing.T) {
	const size = 1 << 20
	clearShelves(t)
	f := newFrame(size)
	f.release()
	if g := newFrame(size); g != f {
		t.Errorf("a released frame of %d bytes was not found again", size)
	}
	if n := shelved.Load(); n != 0 {
		t.Errorf("%d bytes are on shelves, and there is nothing", n)
	}

	var held []*frame
	for range 2 * maxShelved / size {
		held = append(held, newFrame(size), newFrame(minShelved))
	}
	for _, f := range held {
		f.release()
	}
	if n := shelved.Load(); n > shelfDepth*(size+minShelved) {
		t.Errorf("%d bytes are on shelves, which hold %d frames of a class", n, shelfDepth)
	}
	largest := newFrame(maxShelved)
	if largest.release(); shelved.Load() > maxShelved {
		t.Errorf("%d bytes are on shelves, and %d are the most", shelved.Load(), maxShelved)
	}
	clearShelves(t)

	small := newFrame(minShelved / 2)
	if small.release(); shelved.Load() != 0 {
		t.Errorf("a small frame is on a shelf")
	}
}

// TestShelfLife holds that a frame outlives collections as long as it is used.
func TestShelfLife(t *testing.T) {
	clearShelves(t)
	f := newFrame(minShelved)
	for range 3 * shelfLife {
		start := collections.Load()
		f.release()
		collect(t)
		g := newFrame(minShelved)
		if n := collections.Load() - start; g != f && n < shelfLife {
			t.Fatalf("a frame was not on its shelf after %d collections", n)
		}
		f = g
	}
	f.release()
	for start := collections.Load(); shelved.Load() != 0; {
		if n := collections.Load() - start; n > shelfLife {
			t.Fatalf("%d bytes are on shelves after %d collections", shelved.Load(), n)
		}
		collect(t)
	}
}

// clearShelves waits until nothing is left of what others have put there.
func clearShelves(t *testing.T) {
	t.Helper()
	for range 100 {
		if shelved.Load() == 0 {
			return
		}
		collect(t)
	}
	t.Fatalf("%d bytes stay on shelves", shelved.Load())
}

// collect collects garbage, and waits until the shelves have noticed.
func collect(t *testing.T) {
	t.Helper()
	before := collections.Load()
	for start := time.Now(); collections.Load() == before; time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Since(start) > 10*time.Second {
			t.Fatal("no collection was noticed")
		}
	}
}
