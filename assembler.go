// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"os"
)

const (
	// maxOpen is how many messages may have arrived in part.
	maxOpen = 1 << 16

	// pieceSize is how large a frame grows while parts of it arrive.
	pieceSize = 4 << 20

	// maxFilesHeld is how many descriptors may wait for their messages to arrive.
	maxFilesHeld = 4 * maxFiles
)

// An assembler puts together what arrives in parts. It belongs to the reader.
type assembler struct {
	keeps func(id uint32) bool // is anybody interested in what comes for an id?
	open  map[uint32]*assembly
	into  *assembly // whose part is arriving, or nil
	held  int       // how many files open has
	bytes int       // how much data, beyond the first part of each message
	most  int       // how much more it may have than maxRotating messages
}

// An assembly is what has arrived of a message before its last frame.
type assembly struct {
	frame   *frame // nil if there were no parts, or they are dropped
	pieces  *frame // what stands before it, the last first
	total   int    // how many bytes there were
	beyond  int    // how many of those that are held came after the first part
	files   []*os.File
	dropped bool   // it is over the limit, or nobody wants it
	lost    uint32 // what the files cost that were dropped
}

// begin prepares for the data of a frame. It returns a frame that has no data to
// wait for.
func (a *assembler) begin(ch *channel, h messageHeader) (*frame, error) {
	if h.Type >= messageTypeRequest && h.Type <= messageTypeData && h.StreamID != 0 && len(a.open) == 0 {
		return ch.begin(h) // as most are
	}
	if err := checkControl(h); err != nil {
		return nil, err
	}
	m := a.open[h.StreamID]
	switch {
	case h.Type == messageTypePart && h.Flags&flagReset != 0:
		a.forget(h.StreamID)
		return &frame{header: h}, nil
	case h.Type == messageTypePart:
		return nil, a.beginPart(ch, h, m)
	case m != nil && h.Type >= messageTypeRequest && h.Type <= messageTypeData:
		return a.beginLast(ch, h, m)
	case h.Type > messageTypePart && h.Type < messageTypeOptional:
		ch.beginAny(h) // the message limit may be less than these need
		return nil, nil
	}
	return ch.begin(h)
}

func (a *assembler) beginPart(ch *channel, h messageHeader, m *assembly) error {
	if m == nil {
		var err error
		if m, err = a.add(h.StreamID); err != nil {
			return err
		}
	}
	n := int(h.Length)
	if a.bytes > ch.max*maxRotating+a.most {
		return &connError{fmt.Sprintf("%d bytes of messages that are not complete", a.bytes)}
	}
	m.total = min(m.total+n, maxMessageCap+1)
	if keeps := a.keeps(h.StreamID); m.dropped || m.total > ch.max || !keeps {
		a.release(m)
		m.drop()
		ch.skip = n
		return nil
	}
	m.makeRoom(ch, n)
	m.frame.header = h
	a.into = m
	beyond := n
	if len(m.frame.data) == 0 {
		beyond = max(0, n-partSize)
	}
	a.bytes += beyond
	m.beyond += beyond
	ch.receiveInto(m.frame, len(m.frame.data)+n)
	return nil
}

// beginLast prepares for the frame that completes a message.
func (a *assembler) beginLast(ch *channel, h messageHeader, m *assembly) (*frame, error) {
	rest := int(h.Length)
	m.total = min(m.total+rest, maxMessageCap+1)
	h.Length = uint32(m.total)
	a.remove(h.StreamID, m)
	if m.dropped || m.total > ch.max || !a.keeps(h.StreamID) {
		m.drop()
		ch.skip = rest
		return &frame{header: h, charged: m.lost}, oversized(m.total, ch.max)
	}
	m.makeRoom(ch, rest)
	f := m.frame
	f.header, f.files = h, m.files
	for p := m.pieces; p != nil; p = m.pieces { // the first first
		m.pieces, p.next = p.next, f.pieces
		f.pieces = p
	}
	ch.receiveInto(f, len(f.data)+rest)
	return nil, nil
}

// makeRoom sees to a frame for n more bytes. What would make it large becomes a piece
// for itself: to copy that would hold up all that comes after.
func (m *assembly) makeRoom(ch *channel, n int) {
	size := ch.firstSize(n)
	if m.frame != nil && len(m.frame.data)+n > pieceSize {
		m.frame.next, m.pieces = m.pieces, m.frame
		m.frame, size = nil, max(size, roomFor(m.total-n))
	}
	if m.frame == nil {
		m.frame = newFrame(size)
	}
}

// end is called when a frame has arrived in full. It reports whether that is a
// frame for the connection.
func (a *assembler) end(ch *channel, f *frame) (done bool, err error) {
	switch {
	case a.into != nil:
		a.into = nil
		return false, nil
	case f.header.Type == messageTypeFiles:
		n := numberOf(f)
		id := f.header.StreamID
		f.release()
		return false, a.assign(ch, id, int(n))
	}
	return true, nil
}

func (a *assembler) add(id uint32) (*assembly, error) {
	if len(a.open) >= maxOpen {
		return nil, &connError{fmt.Sprintf("more than %d messages that are not complete", maxOpen)}
	}
	m := new(assembly)
	a.open[id] = m
	return m, nil
}

// assign gives the next n files that have arrived to the message that is to come
// on a stream.
func (a *assembler) assign(ch *channel, id uint32, n int) error {
	if n < 1 || n > maxFiles || n > len(ch.arrived) {
		return &connError{fmt.Sprintf("a frame says that %d files come with it, and %d did", n, len(ch.arrived))}
	}
	files := ch.arrived[:n:n]
	ch.arrived = ch.arrived[n:]
	m := a.open[id]
	if m == nil {
		var err error
		if m, err = a.add(id); err != nil {
			closeFiles(files)
			return err
		}
	}
	if len(m.files) > 0 || a.held+n > maxFilesHeld {
		closeFiles(files)
		return &connError{fmt.Sprintf("too many files wait for their messages: %d on stream %d, %d in all", len(m.files)+n, id, a.held+n)}
	}
	m.files = files
	a.held += n
	if m.dropped || !a.keeps(id) {
		a.release(m)
		m.drop()
	}
	return nil
}

// forget drops what has arrived of a message.
func (a *assembler) forget(id uint32) {
	if m := a.open[id]; m != nil {
		a.remove(id, m)
		m.drop()
	}
}

func (a *assembler) remove(id uint32, m *assembly) {
	delete(a.open, id)
	a.release(m)
}

// release takes what is held of a message out of the sums.
func (a *assembler) release(m *assembly) {
	a.held -= len(m.files)
	a.bytes -= m.beyond
	m.beyond = 0
}

// drop gives back what is held of a message. What it costs is remembered, for
// the peer was charged for it.
func (m *assembly) drop() {
	m.frame.release()
	for p := m.pieces; p != nil; p = m.pieces {
		m.pieces, p.next = p.next, nil
		p.release()
	}
	m.frame, m.dropped = nil, true
	if n := len(m.files); n > 0 {
		m.lost = uint32(n * fileCharge)
	}
	closeFiles(m.files)
	m.files = nil
}

// dropAll is called when nothing more is read.
func (a *assembler) dropAll() {
	for id := range a.open {
		a.forget(id)
	}
}

// roomFor is how much memory the parts of a message may take up when n bytes of
// them have arrived: how many will come nobody has said.
func roomFor(n int) int { return min(growth*n, max(n+partSize, pieceSize)) }
