// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"slices"

	"github.com/containerd/ttrpc/internal/wire"
)

// In extended mode a frame with much data leaves in parts, and frames of other streams
// between them, so that a large message delays nobody. Parts, and the descriptors that
// come with a message, stand before the frame that completes them: a request, response or
// data frame on the same id.

const (
	// partSize is how much data leaves in one frame while other streams may want to send.
	partSize = 64 << 10

	// maxFrameData is how much data a frame may have, and has where there is nobody whom it
	// delays.
	maxFrameData = 256 << 10
)

// aloneSize is maxFrameData, but in tests.
var aloneSize = maxFrameData

// isLarge tells whether a sealed frame leaves in parts whoever else wants to send. One with
// files does if it might.
func isLarge(f *frame) bool {
	n := len(f.data) - messageHeaderLength
	return n > aloneSize || n > partSize && f.writes()
}

// pieceLocked is how much data may leave in one frame. Own is how many frames of the stream
// that sends it are in the queue.
func (x *extended) pieceLocked(own int) int {
	if len(x.c.streams) > 1 || x.c.out.count > own || len(x.waiting) > 1-own {
		return partSize
	}
	return aloneSize
}

// cutsLocked tells whether the first frame of the queue leaves in parts.
func (x *extended) cutsLocked(f *frame) bool {
	return len(f.data) > messageHeaderLength+partSize &&
		(isLarge(f) || len(f.data) > messageHeaderLength+x.pieceLocked(1))
}

// A train is what leaves of one stream after a part of a frame has left: the rest
// of that, and the stream's frames behind it.
type train struct {
	frameQueue
	of    *stream
	sent  int   // how much data of the first frame has left
	flags uint8 // of the parts of that
}

// maxRotating is how many trains take turns. The others wait.
const maxRotating = 8

// trains are the messages that are leaving in parts. They are guarded by the
// connection's mu, but who writes may read the data of cut without.
type trains struct {
	waiting []*train // the first few take turns
	turn    int
	next    *train   // its files have left, so its message is next, or nil
	held    []*train // wait until the kernel takes their files
	cut     *frame   // whose part is being written, or nil
	done    bool     // cut has left its train, so that who writes releases it
	last    bool     // a part was written last
	view    *frame   // the part of cut; nil before the first
}

// queuedLocked implements [mode].
func (x *extended) queuedLocked() bool {
	return x.urgent.head != nil || len(x.waiting) > 0 || x.grantsWaitLocked()
}

// pushLocked implements [mode]. A message is charged; a request or answer for which there
// is no credit waits, and all of its stream behind it.
func (x *extended) pushLocked(s *stream, f *frame) (lead bool) {
	if n := filesOf(f).count(); n > 0 {
		moreOf(f).charged = n * fileCharge
	}
	switch n, who := costOf(s, f); {
	case who == payStream:
		flowOf(s).send.spend(n)
		if messageType(f.data[8]) == messageTypeResponse {
			f.data[messageHeaderLength-1] |= flagStream
		}
	case who == payCalls && (x.calls.line.Len() > 0 || !x.calls.send.fits(n)):
		f.owner = s
		x.lineUpLocked(s, f)
		return false
	case who == payCalls:
		x.calls.send.spend(n)
	}
	return x.pushInOrderLocked(s, f)
}

// pushInOrderLocked queues a frame that is paid behind those of its stream.
func (x *extended) pushInOrderLocked(s *stream, f *frame) (lead bool) {
	f.owner = s
	if s.isInLine() {
		x.lineUpLocked(s, f)
		return false
	}
	return x.queueLocked(s, f)
}

// queueLocked queues a frame that is paid, after what is to leave ahead of it: metadata,
// and a frame that announces its files.
func (x *extended) queueLocked(s *stream, f *frame) (lead bool) {
	f.owner = s
	call, accepted := s.call.(*serverCall)
	ahead := accepted && x.describeLocked(call, f)
	if f.extras != nil {
		x.expectMetadataLocked(s, f)
		ahead = x.announceLocked(s, f) || ahead
	}
	return x.c.pushLocked(f) || ahead
}

// partFlags are those of what leaves ahead of a sealed frame.
func partFlags(f *frame) uint8 {
	h, _ := parseHeader(f.data)
	if h.Type == messageTypeData {
		return flagStream
	}
	if h.Type == messageTypeResponse {
		return h.Flags & flagStream
	}
	return 0
}

// bytesLocked is how much memory the frames take up.
func (t *trains) bytesLocked() (n int) {
	for _, tr := range t.all() {
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
	if t.view != nil {
		*t.view = frame{} // which would keep the memory of the frame
	}
}

// nextLocked implements [mode]: frames may overtake others, and leave in parts, of which
// it returns one.
func (x *extended) nextLocked() (part *frame, batch frameQueue, size int) {
	x.putBackLocked()
	if x.c.closed || x.c.lost != nil {
		return nil, batch, 0
	}
	defer x.unparkLocked()
	limit := x.c.ch.kind.batchSize()
	for f := x.urgent.head; f != nil && (size == 0 || size+len(f.data) <= limit); f = x.urgent.head {
		size += len(f.data)
		batch.push(x.urgent.pop())
	}
	for x.urgent.head == nil && x.grantsWaitLocked() && size+messageHeaderLength+wire.NumberLength <= limit {
		f := x.nextGrantLocked()
		size += len(f.data)
		batch.push(f)
	}
	switch {
	case size > 0 && (x.urgent.head != nil || len(x.waiting) > 0):
		return nil, batch, size
	case len(x.waiting) > 0 && (!x.last || x.next != nil):
		return x.nextPartLocked(x.pieceLocked(0)), batch, 0
	}
	x.last = false
	if batch, size = x.collectLocked(batch, size); size == 0 && len(x.waiting) > 0 {
		return x.nextPartLocked(x.pieceLocked(0)), batch, 0
	}
	return nil, batch, size
}

// collectLocked is conn.collectLocked, where large frames leave in parts, and control frames
// of size bytes before the others.
func (x *extended) collectLocked(batch frameQueue, size int) (frameQueue, int) {
	c, limit := x.c, x.c.ch.kind.batchSize()
	for f := c.out.head; f != nil; f = c.out.head {
		s, _ := f.owner.(*stream)
		switch n := len(f.data); {
		case s != nil && s.more != nil && s.extra().train != nil:
			x.rideLocked(f, s.extra().train)
		case size > 0 && !joins(f, size, limit):
			return batch, size
		case s != nil && x.cutsLocked(f):
			x.startTrainLocked(f, s)
			return batch, size
		default:
			size += n
			batch.push(c.popLocked())
			if n > maxCombined || f.writes() { // whose files may be refused
				return batch, size
			}
		}
	}
	return batch, size
}

// rideLocked has the first frame of the queue leave behind those of its stream that are
// leaving in parts.
func (x *extended) rideLocked(f *frame, tr *train) {
	x.c.popLocked()
	f.header, _ = parseHeader(f.data)
	tr.push(f)
}

// startTrainLocked has the first frame of the queue, a large one, leave in parts. The
// first part is the next to leave, for ids rise in the order of first frames.
func (x *extended) startTrainLocked(f *frame, s *stream) {
	tr := &train{of: s}
	s.moreLocked().train = tr
	x.waiting = append(x.waiting, tr)
	x.turn = len(x.waiting) - 1
	x.rideLocked(f, tr)
}

// nextPartLocked returns the next part that is to be written.
func (t *trains) nextPartLocked(piece int) *frame {
	if t.next != nil {
		t.turn, t.next = slices.Index(t.waiting, t.next), nil
	}
	if t.turn < 0 || t.turn >= len(t.waiting) {
		t.turn = 0
	}
	tr := t.waiting[t.turn]
	f := tr.head
	if tr.sent == 0 {
		tr.flags = partFlags(f)
	}
	if f.writes() {
		piece = partSize
	}
	n := min(len(f.data)-messageHeaderLength-tr.sent, piece)
	if last := tr.sent+n == len(f.data)-messageHeaderLength; last && f.writes() && f.header.Type != messageTypeFiles {
		tr.of.passed, t.last, t.next = true, true, tr
		return filesFrame(tr.of, takeFiles(f), tr.flags)
	}
	h := f.header
	if t.done = tr.sent+n == len(f.data)-messageHeaderLength; !t.done {
		h = messageHeader{StreamID: h.StreamID, Type: messageTypePart, Flags: tr.flags}
	}
	h.Length = uint32(n)
	// The header has the place of what was written before.
	data := f.data[tr.sent : tr.sent+messageHeaderLength+n]
	h.Put(data)
	tr.sent += n
	t.cut, t.last = f, true
	if t.view == nil {
		t.view = new(frame)
	}
	*t.view = frame{data: data, class: -1}
	if f.header.Type == messageTypeFiles {
		m, from := moreOf(t.view), moreOf(f)
		m.files, m.of, m.opens, m.flags = takeFiles(f), from.of, from.opens, from.flags
		t.next = tr
	}
	if !t.done {
		t.turn = (t.turn + 1) % min(len(t.waiting), maxRotating)
		return t.view
	}
	tr.pop()
	tr.sent = 0
	tr.of.waiting.Broadcast()
	t.waiting = slices.Delete(t.waiting, t.turn, t.turn+1)
	if tr.head == nil {
		tr.of.extra().train = nil
	} else {
		t.waiting = append(t.waiting, tr)
	}
	if t.turn >= min(len(t.waiting), maxRotating) {
		t.turn = 0
	}
	return t.view
}

// withdrawAllLocked takes all frames of a stream that have not left out of the
// queues. Of a message that has left in part the peer is told to forget it. It
// reports whether the request has left.
func (x *extended) withdrawAllLocked(s *stream) (left bool) {
	c := x.c
	left = true
	for f := s.queued.first; f != nil; f = s.queued.first {
		left = left && messageType(f.data[8]) != messageTypeRequest
		c.withdrawFrameLocked(s, f)
		x.dropUnsentLocked(s, f, s.sentAhead(f))
	}
	left = !x.withdrawLineLocked(s) && left
	if s.more != nil && s.extra().train != nil {
		left = x.dropTrainLocked(s.extra().train) && left
		s.extra().train = nil
	}
	if s.passed {
		x.urgeLocked(resetFrame(s.id))
	}
	return left
}

// dropTrainLocked drops what would have left in parts. It reports whether that was
// not the request.
func (x *extended) dropTrainLocked(tr *train) (left bool) {
	x.dequeueLocked(tr)
	first := tr.head
	left = first.header.Type != messageTypeRequest
	if tr.sent > 0 {
		x.urgeLocked(resetFrame(first.header.StreamID))
	}
	for f := tr.pop(); f != nil; f = tr.pop() {
		paid := tr.of.sentAhead(f)
		if f == first && tr.sent > 0 {
			paid = max(paid, messageCharge) + tr.sent
		}
		x.refundLocked(tr.of, f, paid)
		x.dropRidingLocked(f)
	}
	return left
}

// dropRidingLocked releases a frame that was taken off its train. Of one whose part is being
// written only the files go now.
func (t *trains) dropRidingLocked(f *frame) {
	if f != t.cut {
		f.release()
		return
	}
	takeFiles(f).drop()
	t.done = true
}

// all returns the trains, also those that are held.
func (t *trains) all() []*train {
	if t.held == nil {
		return t.waiting
	}
	return slices.Concat(t.waiting, t.held)
}

// dequeueLocked has a train not take turns any more.
func (t *trains) dequeueLocked(tr *train) {
	is := func(other *train) bool { return other == tr }
	t.waiting, t.held = slices.DeleteFunc(t.waiting, is), slices.DeleteFunc(t.held, is)
	if t.next == tr {
		t.next = nil
	}
}

// sentAhead is what the peer was sent, and gives back, of a request or answer whose files
// have left.
func (s *stream) sentAhead(f *frame) int {
	m, ok := f.extras.(*frameMore)
	if !ok || !s.passed || m.charged == 0 || m.files.count() > 0 {
		return 0
	}
	return messageCharge + m.charged
}

// dropUnsentLocked releases a frame that was to be sent, and of which the peer has so much.
func (x *extended) dropUnsentLocked(s *stream, f *frame, paid int) {
	x.refundLocked(s, f, paid)
	f.release()
}

// isPlainLocked implements [mode].
func (x *extended) isPlainLocked() bool {
	f := x.c.out.head
	return !x.queuedLocked() && !f.writes() && !x.cutsLocked(f)
}
