// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"
)

// hasFrame tells whether recvFrame would return one without reading.
func (ch *channel) hasFrame() bool {
	if ch.part != nil || ch.skip > 0 || ch.w-ch.r < messageHeaderLength {
		return false
	}
	h, _ := parseHeader(ch.buf.data[ch.r:ch.w])
	return ch.w-ch.r-messageHeaderLength >= int(h.Length) && (ch.more == nil || h.Type < messageTypeBeyond)
}

// isEmpty tells whether nothing has been read of what comes next.
func (ch *channel) isEmpty() bool { return ch.part == nil && ch.skip == 0 && ch.r == ch.w }

// fillsBuffer tells whether the frame that is arriving is all that the buffer has, and takes
// up at least half of it.
func (ch *channel) fillsBuffer() bool {
	return ch.room == nil && len(ch.part.data) == 0 && ch.w-ch.r == ch.want && ch.want >= readBufferSize/2 && len(ch.buf.data) == readBufferSize
}

// lend gives the buffer to that frame, which then need not be copied, for its own memory.
func (ch *channel) lend() {
	f, buf := ch.part, ch.buf
	f.data, f.whole, buf.data = buf.data[ch.r:ch.w:ch.w], buf.data, f.data
	f.class, buf.class = buf.class, f.class
	buf.release()
	ch.buf, ch.r, ch.w = nil, 0, 0
}

// firstSize is how much memory a frame with n bytes of data starts with: all
// of it on a packet conn, because one Read there must have room for all that
// remains (B43).
func (ch *channel) firstSize(n int) int {
	if ch.kind == packetConn {
		return n
	}
	return sizeFor(n, ch.w-ch.r)
}

// sizeFor returns how much memory a frame with n bytes of data gets when some have
// arrived: n, or that divided by growth as often as it takes to keep to the bound. So
// when room is made for all of it, no more than a part in growth has to be copied.
func sizeFor(n, arrived int) int {
	size := n
	for size > packetSize && size > growth*arrived {
		size = (size + growth - 1) / growth
	}
	return max(size, min(n, packetSize))
}

// receiveInto has f take data until it has as much as is wanted. On a packet
// conn there must be room for all of it (B43).
func (ch *channel) receiveInto(f *frame, want int) {
	if ch.kind == packetConn && cap(f.data) < want {
		size := want
		if ch.room != nil {
			size = max(want, ch.room(len(f.data)))
		}
		f.grow(size)
	}
	ch.part, ch.want, ch.from = f, want, len(f.data)
}

// growPart makes room for more of the frame that is arriving.
func (ch *channel) growPart() {
	f := ch.part
	if len(f.data) < cap(f.data) {
		return
	}
	size := sizeFor(ch.want, len(f.data))
	if ch.room != nil {
		size = min(max(size, ch.room(len(f.data))), ch.max)
	}
	f.grow(size)
}

// space returns where the next bytes go: straight into the frame that is
// arriving if much of it is missing, else into the buffer. It has no capacity
// beyond its length, which NRI's multiplexer would take for room.
func (ch *channel) space() []byte {
	if f := ch.part; f != nil && ch.r == ch.w {
		if rest := ch.want - len(f.data); rest >= packetSize {
			ch.growPart()
			ch.into = true
			end := min(cap(f.data), ch.want)
			return f.data[len(f.data):end:end]
		}
	}
	ch.into = false
	ch.makeBuffer()
	return slices.Clip(ch.buf.data[ch.w:])
}

// makeBuffer sees to a buffer that has nothing in it but what parse left,
// which is less than a header.
func (ch *channel) makeBuffer() {
	size := ch.bufferSize()
	old := ch.buf
	if old == nil || len(old.data) < size || ch.skip == 0 && len(old.data) > size {
		ch.buf = newFrame(size)
		ch.buf.data = ch.buf.data[:size]
	}
	rest := ch.kept[:]
	if old != nil {
		rest = old.data
	}
	ch.w = copy(ch.buf.data, rest[ch.r:ch.w])
	ch.r = 0
	if old != ch.buf {
		old.release()
	}
}

// bufferSize is how large the buffer for the next Read is to be. On a packet conn it
// must have room for all that remains of a frame that is being dropped, too (B43). On a
// byte stream that is no kernel socket it is small until a Read has filled it, because
// it is held for as long as nothing comes.
func (ch *channel) bufferSize() int {
	switch {
	case ch.kind == packetConn:
		return max(packetSize+messageHeaderLength, ch.skip)
	case ch.kind == streamConn && !ch.full:
		return waitBufferSize
	}
	return readBufferSize
}

// idle gives the read buffer back. What parse left in it, less than a header,
// is kept aside.
func (ch *channel) idle() {
	if ch.buf != nil {
		ch.w = copy(ch.kept[:], ch.buf.data[ch.r:ch.w])
		ch.r = 0
		ch.buf.release()
		ch.buf = nil
	}
}

// advance takes note of n bytes that were read to where space said.
func (ch *channel) advance(n int) {
	if ch.into {
		ch.part.data = ch.part.data[:len(ch.part.data)+n]
		return
	}
	ch.w += n
}

// fill reads once. If wait is false and nothing has arrived, it returns errNoFrame.
func (ch *channel) fill(wait bool) (err error) {
	switch {
	case ch.kind == socketConn:
		err = ch.socket.fill(ch, wait)
	case !wait:
		err = ch.fillSoon()
	default:
		err = ch.fillOnce()
	}
	if err == nil && ch.heard != nil {
		ch.heard.Store(int64(now()))
	}
	return err
}

// arrivalTime is how long a byte stream that is no kernel socket may take to hand over
// what has arrived: it cannot be tried without waiting.
const arrivalTime = 10 * time.Millisecond

// fillSoon is fill where nothing more is to be waited for.
func (ch *channel) fillSoon() error {
	ch.conn.SetReadDeadline(time.Now().Add(arrivalTime))
	err := ch.fillOnce()
	ch.conn.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errNoFrame
	}
	return err
}

// maxEmptyReads is how often in a row a conn may read nothing and not say why.
const maxEmptyReads = 100

// fillOnce is fill on what is no kernel socket.
func (ch *channel) fillOnce() error {
	b := ch.space()
	n, err := ch.conn.Read(b)
	ch.full = n == len(b) && !ch.into
	if n > 0 {
		ch.empty = 0
		ch.advance(n)
		return nil // an error comes again
	}
	if ch.empty++; err == nil && ch.empty >= maxEmptyReads {
		err = io.ErrNoProgress
	}
	return err
}
