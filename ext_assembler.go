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
	// maxOpen is how many messages may have arrived in part.
	maxOpen = 1 << 16

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
	bytes   int       // how much data, beyond the first part of each message
	most    int       // how much more it may have than maxRotating messages
	asks    frame     // what is handed up to ask
	piece   int       // pieceSize, but in tests
}

func newAssembler(most int, takes bool) *assembler {
	return &assembler{open: make(map[uint32]*assembly), most: most, takes: takes, asks: frame{class: -1}, piece: pieceSize}
}

// newAssembler returns the connection's.
func (c *conn) newAssembler(takes bool) *assembler {
	a := newAssembler(c.cfg.limits.Queue.ConnectionBytes, takes)
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
	beyond  int    // how many of those that are held came after the first part
	files   *descriptors
	dropped bool  // it is over the limit, or nobody wants it
	lost    int   // what the files cost that were dropped
	refused error // why its files were, a status; nil if they were not
}

// begin implements [framing].
func (a *assembler) begin(ch *channel, h messageHeader) (*frame, error) {
	if !a.agreed || isMessageType(h.Type) && h.StreamID != 0 && len(a.open) == 0 {
		return ch.begin(h) // as most are
	}
	if err := checkControl(h); err != nil {
		return nil, err
	}
	m := a.open[h.StreamID]
	switch {
	case h.Type == messageTypePart && h.Flags&flagReset != 0:
		a.forget(h.StreamID)
		ch.pass(h)
		fallthrough
	case h.Type == messageTypePart:
		a.asks.header = h
		return &a.asks, nil
	case m != nil && isMessageType(h.Type):
		return a.beginLast(ch, h, m)
	case h.Type > messageTypePart && h.Type < messageTypeOptional:
		ch.beginAny(h) // the message limit may be less than these need
		return nil, nil
	}
	return ch.begin(h)
}

// takePart prepares for the data of a part whose header was handed up, or with keep unset
// has it dropped.
func (a *assembler) takePart(ch *channel, h messageHeader, keep bool) error {
	m := a.open[h.StreamID]
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
	if m.dropped || m.total > ch.max || !keep {
		a.release(m)
		m.drop()
		ch.pass(h)
		return nil
	}
	m.makeRoom(ch, n, a.piece)
	m.frame.header = h
	a.into = m
	beyond := n
	if len(m.frame.data) == 0 {
		beyond = max(0, n-partSize)
	}
	a.bytes += beyond
	m.beyond += beyond
	ch.room = roomFor
	ch.receiveInto(m.frame, len(m.frame.data)+n)
	return nil
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
		if m.lost > 0 {
			moreOf(f).charged = m.lost
		}
		big := oversized(m.total, ch.max)
		if m.refused != nil {
			big.err = m.refused
		}
		return f, big
	}
	m.makeRoom(ch, rest, a.piece)
	f := m.frame
	f.header = h
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

func (a *assembler) add(id uint32) (*assembly, error) {
	if len(a.open) >= maxOpen {
		return nil, &connError{fmt.Sprintf("more than %d messages that are not complete", maxOpen)}
	}
	m := new(assembly)
	a.open[id] = m
	return m, nil
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
	m := a.open[id]
	if m == nil {
		var err error
		if m, err = a.add(id); err != nil {
			files.drop()
			return err
		}
	}
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
func (a *assembler) release(m *assembly) {
	a.held -= m.files.count()
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
	if n := m.files.count(); n > 0 {
		m.lost = n * fileCharge
	}
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
	defer control.release()
	n, files, err := recvFiles(fd, b, control.data[:controlSize()])
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
func roomFor(n int) int { return min(growth*n, max(n+partSize, pieceSize)) }
