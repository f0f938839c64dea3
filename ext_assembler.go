// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"net"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// pieceSize is how large a frame grows while parts of it arrive.
	pieceSize = 4 << 20

	// maxFilesHeld is how many descriptors may wait for their messages to arrive.
	maxFilesHeld = 4 * maxFiles
)

// An assembler puts together what arrives in parts, and gives files to the messages that
// they came with. It implements [framing], and knows neither streams nor locks: whether a
// part is wanted it asks by handing up a frame that has only the part's header. The answer
// is a call of takePart, before anything else is read.
type assembler struct {
	agreed  bool // else all is as without it, but that files may come
	takes   bool // files may come with what is read; others are closed
	isUnix  bool // some may come, wanted or not, unless
	refuses bool // the kernel takes none any more; written under the connection's mu
	drained bool // and has none

	files   *fileAccount // of the connection
	arrived []int        // files, whose frame that says whose they are has not
	open    map[uint32]*assembly
	into    *assembly // whose part is arriving, or nil
	held    int       // how many files open has
	asks    *frame    // what is handed up to ask; nil before the first time
	piece   int       // pieceSize, but in tests
}

func newAssembler(takes bool) *assembler {
	return &assembler{takes: takes, piece: pieceSize}
}

// newAssembler returns the connection's.
func (c *conn) newAssembler(takes bool) *assembler {
	a := newAssembler(takes)
	a.files = closing.account(c.cfg.limits.Files, func(why error) {
		c.mu.Lock()
		defer c.unlock()
		if c.cause == nil {
			c.cause = why
			c.warnLocked("ttrpc: connection ended", "error", why)
		}
	})
	_, isUnix := c.ch.conn.(*net.UnixConn)
	a.isUnix = isUnix && c.ch.kind == socketConn
	return a
}

// An assembly is what has arrived of a message before its last frame.
type assembly struct {
	frame   *frame // nil if there were no parts, or they are dropped
	pieces  *frame // what stands before it, the last first
	before  int    // how many bytes those have
	total   int    // how many bytes there were
	files   *descriptors
	dropped bool  // it is over the limit, or nobody wants it
	refused error // why its files were, a status; nil if they were not

	paid     int  // how much credit has been taken, and is held; of what is dropped, messageCharge
	ofStream bool // the stream's
}

// begin implements [framing].
func (a *assembler) begin(ch *channel, h messageHeader) (*frame, error) {
	if !a.agreed || isMessageType(h.Type) && h.StreamID != 0 && h.Length <= maxFrameData && len(a.open) == 0 {
		return ch.begin(h) // as most are
	}
	if err := checkControl(h); err != nil {
		return nil, err
	}
	if h.Length > maxFrameData && (isMessageType(h.Type) || h.Type == messageTypePart) {
		return nil, &connError{fmt.Sprintf("stream %d: a %s of %d bytes that was not cut", h.StreamID, h.Type, h.Length)}
	}
	m := a.open[h.StreamID]
	switch {
	case h.Type == messageTypePart && h.Flags&flagReset != 0:
		ch.pass(h)
		fallthrough
	case h.Type == messageTypePart:
		if a.asks == nil {
			a.asks = &frame{class: -1}
		}
		a.asks.header = h
		return a.asks, nil
	case m != nil && isMessageType(h.Type):
		return a.beginLast(ch, h, m)
	case h.Type > messageTypePart && h.Type < messageTypeOptional:
		ch.beginAny(h) // the message limit may be less than these need
		return nil, nil
	}
	return ch.begin(h)
}

// at returns what has arrived of the message that is to come on a stream.
func (a *assembler) at(id uint32) *assembly {
	m := a.open[id]
	if m == nil {
		m = new(assembly)
		if a.open == nil {
			a.open = make(map[uint32]*assembly)
		}
		a.open[id] = m
	}
	return m
}

// fits tells whether a part with n bytes is to be kept, as far as the limit goes.
func (m *assembly) fits(n, limit int) bool { return !m.dropped && n <= limit-m.total }

// takePart prepares for the data of a part whose header was handed up, or with keep unset
// has it dropped, with all that has arrived of its message.
func (a *assembler) takePart(ch *channel, h messageHeader, keep bool) {
	m, n := a.at(h.StreamID), int(h.Length)
	keep = keep && m.fits(n, ch.max)
	m.total = min(m.total+n, maxMessageCap+1)
	if !keep {
		a.release(m)
		m.drop()
		ch.pass(h)
		return
	}
	m.makeRoom(ch, n, a.piece)
	m.frame.header = h
	a.into = m
	ch.room = roomFor
	ch.receiveInto(m.frame, len(m.frame.data)+n)
}

// beginLast prepares for the frame that completes a message.
func (a *assembler) beginLast(ch *channel, h messageHeader, m *assembly) (*frame, error) {
	last := h
	rest := int(h.Length)
	m.total = min(m.total+rest, maxMessageCap+1)
	h.Length = uint32(m.total)
	a.remove(h.StreamID, m)
	if m.dropped || m.total > ch.max {
		m.drop()
		ch.pass(last)
		f := &frame{header: h}
		m.tell(f, rest)
		big := oversized(m.total, ch.max)
		if m.refused != nil {
			big.err = m.refused
		}
		return f, big
	}
	m.makeRoom(ch, rest, a.piece)
	f := m.frame
	f.header = h
	m.tell(f, rest)
	if m.files != nil {
		moreOf(f).files, m.files = m.files, nil
	}
	for p := m.pieces; p != nil; p = m.pieces { // the first first
		more := moreOf(f)
		m.pieces, p.next = p.next, more.before
		more.before, more.length = p, m.before
	}
	ch.receiveInto(f, len(f.data)+rest)
	return nil, nil
}

// tell tells with a message's last frame, of n bytes, what credit was taken.
func (m *assembly) tell(f *frame, n int) {
	if m.paid > 0 {
		more := moreOf(f)
		more.paid, more.rest, more.ofStream = m.paid, n, m.ofStream
	}
}

// makeRoom sees to a frame for n more bytes. What would make it large becomes a piece
// for itself: to copy that would hold up all that comes after.
func (m *assembly) makeRoom(ch *channel, n, piece int) {
	size := ch.firstSize(n)
	if m.frame != nil && len(m.frame.data)+n > piece {
		m.frame.next, m.pieces = m.pieces, m.frame
		m.before += len(m.frame.data)
		m.frame, size = nil, max(size, roomFor(m.total-n))
	}
	if m.frame == nil {
		m.frame = newFrame(size)
	}
}

// end implements [framing].
func (a *assembler) end(ch *channel, f *frame) (whole bool, err error) {
	switch {
	case !a.agreed:
		return true, nil
	case a.into != nil:
		a.into = nil
		return false, nil
	}
	return true, nil
}

// assign gives the next n files that have arrived to the message that is to come
// on a stream, or with keep unset closes them.
func (a *assembler) assign(id uint32, n int, keep bool) error {
	if n < 1 || n > maxFiles || n > len(a.arrived) {
		return &connError{fmt.Sprintf("a frame says that %d files come with it, and %d did", n, len(a.arrived))}
	}
	room := a.files.hasRoom(n)
	files := newDescriptors(a.files, a.arrived[:n:n])
	a.arrived = a.arrived[n:]
	m := a.at(id)
	if m.files != nil || a.held+n > maxFilesHeld {
		files.drop()
		return &connError{fmt.Sprintf("too many files wait for their messages: %d on stream %d, %d in all", m.files.count()+n, id, a.held+n)}
	}
	if keep && !room {
		m.refused = status.Errorf(codes.ResourceExhausted, "ttrpc: %d files with a message, and the connection may hold %d and has %d",
			n, a.files.most, a.files.size()-n)
	}
	m.files = files
	a.held += n
	if m.dropped || !keep || !room {
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
func (a *assembler) release(m *assembly) { a.held -= m.files.count() }

// drop gives back what is held of a message.
func (m *assembly) drop() {
	m.frame.release()
	for p := m.pieces; p != nil; p = m.pieces {
		m.pieces, p.next = p.next, nil
		p.release()
	}
	m.frame, m.dropped = nil, true
	m.files.drop()
	m.files = nil
}

// drop implements [framing].
func (a *assembler) drop() {
	a.dropArrived()
	for id := range a.open {
		a.forget(id)
	}
}

// takeFiles says whether files may come with what is read from now on.
func (a *assembler) takeFiles(ch *channel, takes bool) {
	a.takes = takes
	a.refuses, a.drained = ch.takeRights(takes) && !takes, false
	if !takes {
		a.dropArrived()
	}
}

func (a *assembler) dropArrived() {
	a.files.drop(a.arrived)
	a.arrived = nil
}

// read implements [framing]. It receives descriptors that nobody wants, too, for to have
// the kernel drop them may take as long as their sender likes.
func (a *assembler) read(fd int, b []byte) (int, error) {
	if !a.isUnix || a.drained {
		return readSocket(fd, b)
	}
	control := newFrame(controlSize())
	n, files, err := recvFiles(fd, b, control.data[:controlSize()])
	control.release()
	if files == nil && err == nil {
		return n, nil
	}
	return a.take(n, files, err)
}

// take takes what has come with n bytes, or instead of them.
func (a *assembler) take(n int, files []int, err error) (int, error) {
	switch {
	case !a.takes:
		a.files.drop(files)
		if err == errFilesTruncated {
			err = nil
		}
		a.drained = a.refuses && err == syscall.EAGAIN
	case err != nil || files != nil && len(a.arrived) > maxFiles: // and all frames that are here have taken theirs
		a.files.drop(files)
		if err == nil {
			err = errFilesUnannounced
		}
		n = 0
	default:
		a.arrived = append(a.arrived, files...)
	}
	return n, err
}

// closing implements [framing]. What has come and was not read the kernel would drop in the
// close, which may take as long as the sender of a descriptor likes.
func (a *assembler) closing(ch *channel) {
	if a.isUnix && !a.refuses {
		emptySocket(ch.socket, a.files)
	}
}

// roomFor is how much memory a message may take up of which n bytes have arrived, when
// nobody has said how many will.
func roomFor(n int) int {
	if n >= pieceSize {
		return n + partSize
	}
	return min(growth*n, max(n+partSize, pieceSize)) // which an int of 32 bits has
}
