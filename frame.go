// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"math/bits"
	"sync"
)

// A frame is one frame and its memory, which is pooled. Whoever holds it owns
// it, until it is passed on or released; it is released at most once.
type frame struct {
	// header is set on frames that were received.
	header messageHeader

	// data is a received frame's data. On the way out it is the whole frame,
	// header included.
	data []byte

	// whole is the memory that data is a part of, if it is not all of it.
	whole []byte

	// next and prev link the frame in the one queue that owns it.
	next, prev *frame

	// owner is told when the frame is queued to be written, and when the writer takes it;
	// nil if nobody wants to know.
	owner frameOwner

	// sibling is the next frame in that queue of the same owner, if that is a stream.
	sibling *frame

	// extras is what a mode adds to the frame; nil for most.
	extras frameExtras

	seq uint64 // counts the frames that were queued on the connection

	class int8 // index into framePools, or -1
}

// A frameOwner is whom a queued outgoing frame belongs to.
type frameOwner interface {
	// pushedLocked is called, with the connection's mu held, when f is queued.
	pushedLocked(f *frame)

	// tookLocked is called, with the connection's mu held, when the writer has taken f
	// from the queue.
	tookLocked(f *frame)
}

// A frameExtras is what a mode adds to a frame: data that stands before the frame's own,
// descriptors that go or have come with it. Whoever owns the frame owns it.
type frameExtras interface {
	// release gives back all of it.
	release()

	// pieces returns how many bytes stand before the frame's own data.
	pieces() int

	// join puts them there.
	join(f *frame)

	// writes tells whether write must be used to write the frame.
	writes() bool

	// write writes to a kernel socket, without blocking, what it takes of b.
	write(fd int, b []byte) (n int, err error)

	// writeFirst is the socket's writeExtras.
	writeFirst(s *socket, f *frame) (n int, err error)

	// refused is called, without locks, by who writes if nothing of the frame could be
	// written. It reports whether that is about the extras: then it has seen to what they
	// belong to, and all else can be written.
	refused(f *frame, err error) bool
}

// Frames of up to 256 bytes share a pool. Above that each power of 2, and each
// quarter of the way to the next, has one.
const (
	minFrameShift = 8
	maxFrameShift = 24
)

var framePools [4*(maxFrameShift-minFrameShift) + 1]sync.Pool

// frameClass returns the pool for n bytes, and their size there.
func frameClass(n int) (class, size int) {
	last := uint(max(n, 1<<minFrameShift) - 1)
	shift := bits.Len(last) - 3 // leaves 4 to 7 quarters
	quarters := int(last>>shift) + 1
	return 4*(shift+2-minFrameShift) + quarters - 4, quarters << shift
}

// newFrame returns a frame with no data and room for n bytes.
func newFrame(n int) *frame {
	class, size := frameClass(n)
	if class >= len(framePools) {
		return &frame{data: make([]byte, 0, n), class: -1}
	}
	if f := takeShelved(class, size); f != nil {
		return f
	}
	if f, ok := framePools[class].Get().(*frame); ok {
		return f
	}
	return &frame{data: make([]byte, 0, size), class: int8(class)}
}

// newOutFrame returns a frame for n bytes of data, which the caller appends
// to f.data before it calls seal.
func newOutFrame(n int) *frame {
	f := newFrame(messageHeaderLength + n)
	f.data = f.data[:messageHeaderLength]
	return f
}

// flags are those of a sealed frame.
func (f *frame) flags() uint8 { return f.data[messageHeaderLength-1] }

// seal writes the header in front of the data.
func (f *frame) seal(h messageHeader) {
	h.Length = uint32(len(f.data) - messageHeaderLength)
	h.Put(f.data)
}

// grow gives f room for n bytes and keeps its data.
func (f *frame) grow(n int) {
	g := newFrame(n)
	g.data = append(g.data, f.data...)
	f.data, g.data = g.data, f.data
	f.whole, g.whole = g.whole, f.whole
	f.class, g.class = g.class, f.class
	g.release()
}

// release gives the memory back. Nobody may use f or its data after it.
func (f *frame) release() {
	if f == nil {
		return
	}
	if f.extras != nil {
		f.extras.release()
		f.extras = nil
	}
	if f.class < 0 {
		return
	}
	if f.whole != nil {
		f.data = f.whole
	}
	// append may have moved data to other memory; that is left to the garbage
	// collector.
	if class, size := frameClass(cap(f.data)); class == int(f.class) && size == cap(f.data) {
		*f = frame{data: f.data[:0], class: f.class}
		if !f.shelve(size) {
			framePools[class].Put(f)
		}
	}
}

// frameOverhead is about what a frame costs beside its data.
const frameOverhead = 128

// cost is how many bytes of memory f takes up. It is what queues are bounded
// by: empty messages are not free.
func (f *frame) cost() int {
	n := f.memory() + frameOverhead
	if f.extras != nil {
		n += f.extras.pieces()
	}
	return n
}

// memory is how much the data takes up.
func (f *frame) memory() int { return max(cap(f.data), cap(f.whole)) }

// size is how much data a received frame has.
func (f *frame) size() int {
	n := len(f.data)
	if f.extras != nil {
		n += f.extras.pieces()
	}
	return n
}

// join puts all data of a received frame into f.data. Who decodes it does that, for it
// may take time.
func (f *frame) join() {
	if f != nil && f.extras != nil {
		f.extras.join(f)
	}
}

// writes tells whether the frame has extras that must be written with it.
func (f *frame) writes() bool { return f.extras != nil && f.extras.writes() }

// refused is that of the extras, if they are still there.
func (f *frame) refused(err error) bool { return f.writes() && f.extras.refused(f, err) }

// A frameQueue is a first-in first-out queue of frames, linked through them.
type frameQueue struct {
	head, tail *frame
	count      int
	bytes      int // what the frames cost
}

func (q *frameQueue) push(f *frame) {
	if f.prev = q.tail; f.prev == nil {
		q.head = f
	} else {
		f.prev.next = f
	}
	q.tail = f
	q.count++
	q.bytes += f.cost()
}

func (q *frameQueue) pushFront(f *frame) {
	if f.next = q.head; f.next == nil {
		q.tail = f
	} else {
		f.next.prev = f
	}
	q.head = f
	q.count++
	q.bytes += f.cost()
}

func (q *frameQueue) remove(f *frame) {
	if f.prev == nil {
		q.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		q.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.next, f.prev = nil, nil
	q.count--
	q.bytes -= f.cost()
}

// pop removes and returns the first frame, or nil.
func (q *frameQueue) pop() *frame {
	f := q.head
	if f != nil {
		q.remove(f)
	}
	return f
}

// releaseAll empties the queue.
func (q *frameQueue) releaseAll() {
	for f := q.pop(); f != nil; f = q.pop() {
		f.release()
	}
}
