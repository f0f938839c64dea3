// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"runtime"
	"sync/atomic"
)

// Large frames are kept on shelves, before a sync.Pool gets them: of one released on one
// processor that finds nothing on another, and makes a new one. As large frames are most of
// what a program that has large messages keeps alive, the heap's size then goes up and down,
// and memory is given back to the system and faulted in again, for each message.

const (
	minShelved = 64 << 10 // the smallest frames on shelves
	maxShelved = 16 << 20 // how many bytes all shelves hold
	shelfDepth = 4        // how many frames of one class
	shelfLife  = 2        // let go of by this garbage collection, as by a sync.Pool
)

// shelves has one for each class of frames.
var shelves [len(framePools)][shelfDepth]shelfPlace

// A shelfPlace holds a frame or none.
type shelfPlace struct {
	frame atomic.Pointer[frame]
	since atomic.Int64 // the last collection before it was put there
}

var (
	shelved     atomic.Int64 // bytes on all shelves
	collections atomic.Int64 // how many were noticed
	notices     atomic.Bool  // the next one is noticed
)

// takeShelved returns a frame of a class and size, or nil.
func takeShelved(class, size int) *frame {
	if size < minShelved {
		return nil
	}
	for i := range shelves[class] {
		p := &shelves[class][i].frame
		if p.Load() == nil {
			continue
		}
		if f := p.Swap(nil); f != nil {
			shelved.Add(-int64(size))
			return f
		}
	}
	return nil
}

// shelve puts a frame on its shelf. It reports whether there was room.
func (f *frame) shelve(size int) bool {
	if size < minShelved {
		return false
	}
	if shelved.Add(int64(size)) <= maxShelved {
		for i := range shelves[f.class] {
			p := &shelves[f.class][i]
			if p.frame.Load() == nil {
				p.since.Store(collections.Load())
				if p.frame.CompareAndSwap(nil, f) {
					noticeCollection()
					return true
				}
			}
		}
	}
	shelved.Add(-int64(size))
	return false
}

// noticeCollection has ageShelves called at the next garbage collection.
func noticeCollection() {
	if !notices.Load() && notices.CompareAndSwap(false, true) {
		runtime.SetFinalizer(new(*byte), func(**byte) { ageShelves() })
	}
}

// ageShelves lets go of the frames that nobody has taken for shelfLife collections.
func ageShelves() {
	notices.Store(false)
	now := collections.Add(1)
	for class := range shelves {
		for i := range shelves[class] {
			p := &shelves[class][i]
			if p.frame.Load() == nil {
				continue
			}
			if now-p.since.Load() < shelfLife {
				noticeCollection()
			} else if f := p.frame.Swap(nil); f != nil {
				shelved.Add(-int64(cap(f.data)))
			}
		}
	}
}
