// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "slices"

// In extended mode a frame with more data than partSize leaves in parts, and
// frames of other streams between them, so that a large message delays nobody.
// Parts, and the descriptors that come with a message, stand before the frame
// that completes them: a request, response or data frame on the same id.

// partSize is how much data a frame may have without being cut.
const partSize = 64 << 10

// A train is what leaves of one stream after a part of a frame has left: the rest
// of that, and the stream's frames behind it.
type train struct {
	frameQueue
	of *stream
}

// maxRotating is how many trains take turns. The others wait.
const maxRotating = 8

// trains are the messages that are leaving in parts. They are guarded by the
// connection's mu, but who writes may read the data of cut without.
type trains struct {
	waiting []*train // the first few take turns
	turn    int
	last    bool   // a part was written last
	next    *train // its files have left, so its message is next, or nil
	cut     *frame // whose part is being written, or nil
	done    bool   // cut has left its train
	view    frame  // the part of cut
}

// queuedLocked tells whether a frame waits for the writer.
func (c *conn) queuedLocked() bool {
	return c.out.head != nil || c.ext != nil && (c.ext.urgent.head != nil || len(c.ext.waiting) > 0)
}

// trainOf returns the train of a stream that has one.
func (t *trains) trainOf(s *stream) *train {
	return t.waiting[slices.IndexFunc(t.waiting, func(tr *train) bool { return tr.of == s })]
}

// bytesLocked is how much memory the frames take up.
func (t *trains) bytesLocked() (n int) {
	for _, tr := range t.waiting {
		n += tr.bytes
	}
	return n
}

// putBackLocked ends the turn of the frame whose part was written.
func (t *trains) putBackLocked() {
	if t.cut != nil && t.done {
		t.cut.release()
	}
	t.cut, t.done = nil, false
}

// nextExtendedLocked is collectLocked where frames may overtake others, and leave in
// parts, of which it returns one.
func (c *conn) nextExtendedLocked(batch *frameQueue) (part *frame, size int) {
	x := c.ext
	x.putBackLocked()
	limit := c.ch.batchSize()
	for f := x.urgent.head; f != nil && (size == 0 || size+len(f.data) <= limit); f = x.urgent.head {
		size += len(f.data)
		batch.push(x.urgent.pop())
	}
	switch {
	case size > 0:
		return nil, size
	case len(x.waiting) > 0 && (!x.last || x.next != nil):
		return x.nextPartLocked(), 0
	}
	x.last = false
	if size = c.collectLocked(batch); size == 0 && len(x.waiting) > 0 {
		return x.nextPartLocked(), 0
	}
	return nil, size
}

// followsLocked has the first frame of the queue leave behind those of its stream
// that are leaving in parts, if there are any.
func (c *conn) followsLocked(f *frame) bool {
	if f.stream == nil || !f.stream.rides {
		return false
	}
	tr := c.ext.trainOf(f.stream)
	c.popLocked()
	f.header, _ = parseHeader(f.data)
	tr.push(f)
	return true
}

// startTrainLocked has the first frame of the queue, a large one, leave in parts. The
// first part is the next to leave, for ids rise in the order of first frames.
func (c *conn) startTrainLocked(f *frame) {
	x, tr := c.ext, &train{of: f.stream}
	tr.of.rides = true
	x.waiting = append(x.waiting, tr)
	x.turn = len(x.waiting) - 1
	c.followsLocked(f)
}

// nextPartLocked returns the next part that is to be written.
func (t *trains) nextPartLocked() *frame {
	if t.next != nil {
		t.turn, t.next = slices.Index(t.waiting, t.next), nil
	}
	if t.turn < 0 || t.turn >= len(t.waiting) {
		t.turn = 0
	}
	tr := t.waiting[t.turn]
	f := tr.head
	n := min(len(f.data)-messageHeaderLength-f.sent, partSize)
	if last := f.sent+n == len(f.data)-messageHeaderLength; last && f.files != nil && f.header.Type != messageTypeFiles {
		a := numberFrame(messageTypeFiles, f.header.StreamID, uint32(len(f.files)))
		a.files, f.files = f.files, nil
		tr.of.passed, t.last, t.next = true, true, tr
		return a
	}
	h := f.header
	if t.done = f.sent+n == len(f.data)-messageHeaderLength; !t.done {
		h = messageHeader{StreamID: h.StreamID, Type: messageTypePart}
	}
	h.Length = uint32(n)
	// The header has the place of what was written before.
	piece := f.data[f.sent : f.sent+messageHeaderLength+n]
	h.Put(piece)
	f.sent += n
	t.cut, t.last = f, true
	t.view = frame{data: piece, class: -1}
	if f.header.Type == messageTypeFiles {
		t.view.files, f.files = f.files, nil
		t.next = tr
	}
	if !t.done {
		t.turn = (t.turn + 1) % min(len(t.waiting), maxRotating)
		return &t.view
	}
	tr.pop()
	tr.of.waiting.Broadcast()
	t.waiting = append(t.waiting[:t.turn], t.waiting[t.turn+1:]...)
	if tr.head == nil {
		tr.of.rides = false
	} else {
		t.waiting = append(t.waiting, tr)
	}
	if t.turn >= min(len(t.waiting), maxRotating) {
		t.turn = 0
	}
	return &t.view
}

// withdrawAllLocked takes all frames of a stream that have not left out of the
// queues. Of a message that has left in part the peer is told to forget it. It
// reports whether the request has left.
func (c *conn) withdrawAllLocked(s *stream) (left bool) {
	left = true
	for f := c.out.head; f != nil; {
		next := f.next
		if f.stream == s {
			left = left && messageType(f.data[8]) != messageTypeRequest
			c.out.remove(f)
			c.dropUnsentLocked(f)
		}
		f = next
	}
	s.opening = nil
	if s.rides {
		s.rides = false
		tr := c.ext.trainOf(s)
		left = c.dropTrainLocked(tr) && left
	}
	if s.passed {
		c.urgeLocked(resetFrame(s.id))
	}
	return left
}

// dropTrainLocked drops what would have left in parts. It reports whether that was
// not the request.
func (c *conn) dropTrainLocked(tr *train) (left bool) {
	x := c.ext
	x.waiting = slices.DeleteFunc(x.waiting, func(t *train) bool { return t == tr })
	if x.next == tr {
		x.next = nil
	}
	first := tr.head
	left = first.header.Type != messageTypeRequest
	if first.sent > 0 {
		c.urgeLocked(resetFrame(first.header.StreamID))
	}
	for f := tr.pop(); f != nil; f = tr.pop() {
		if f == x.cut { // it is being written
			x.closeLaterLocked(f)
			x.done = true
			c.unspendLocked(f)
			continue
		}
		c.dropUnsentLocked(f)
	}
	return left
}

// dropUnsentLocked releases a frame that was to be sent.
func (c *conn) dropUnsentLocked(f *frame) {
	c.unspendLocked(f)
	if c.ext != nil {
		c.ext.closeLaterLocked(f)
	}
	f.release()
}

// isPlainLocked tells whether the first frame of the queue is the next to leave, in
// one write like any other.
func (c *conn) isPlainLocked(f *frame) bool {
	return c.ext.urgent.head == nil && len(c.ext.waiting) == 0 && f.files == nil && len(f.data) <= messageHeaderLength+partSize
}
