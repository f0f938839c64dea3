// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
)

const (
	// messageHeaderLength is the length of a frame's header in bytes.
	messageHeaderLength = 10

	// messageLengthMax is how many bytes of data a frame may carry by default.
	messageLengthMax = 4 << 20

	// messageLengthCap is what no option can exceed. A longer length on the
	// wire is no message that anybody sent but noise, such as another
	// protocol's text, so it ends the connection (B7).
	messageLengthCap = 1<<24 - 1
)

// messageType is the fifth field of a frame's header.
type messageType uint8

const (
	messageTypeRequest  messageType = 0x1 // client to server: opens a stream
	messageTypeResponse messageType = 0x2 // server to client: ends a stream
	messageTypeData     messageType = 0x3 // either way, on an open stream
)

func (t messageType) String() string {
	switch t {
	case messageTypeRequest:
		return "request"
	case messageTypeResponse:
		return "response"
	case messageTypeData:
		return "data"
	}
	return fmt.Sprintf("type %#x", uint8(t))
}

const (
	flagRemoteClosed uint8 = 0x1 // the sender will send no more data
	flagRemoteOpen   uint8 = 0x2 // on a request: data of the client follows
	flagNoData       uint8 = 0x4 // the frame carries no message, not an empty one
)

// messageHeader is the header of a frame:
//
//	0       4       8    9    10
//	| length|  id   |type|flags|
//
// Length and id are big-endian; the length counts the data after the header.
type messageHeader struct {
	Length   uint32
	StreamID uint32
	Type     messageType
	Flags    uint8
}

// parseHeader reads a header from the front of b.
func parseHeader(b []byte) (messageHeader, error) {
	if len(b) < messageHeaderLength {
		return messageHeader{}, io.ErrUnexpectedEOF
	}
	return messageHeader{
		Length:   binary.BigEndian.Uint32(b[0:4]),
		StreamID: binary.BigEndian.Uint32(b[4:8]),
		Type:     messageType(b[8]),
		Flags:    b[9],
	}, nil
}

// put writes the header into the first messageHeaderLength bytes of b.
func (h messageHeader) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:4], h.Length)
	binary.BigEndian.PutUint32(b[4:8], h.StreamID)
	b[8] = byte(h.Type)
	b[9] = h.Flags
}

const (
	// packetSize is what one Write may carry on a conn that is no kernel
	// socket, and what one Read on it must have room for (B43).
	packetSize = 4096

	// readBufferSize is how much is read at once from a kernel socket.
	readBufferSize = 32 << 10

	// growth is how many times the data that has arrived a frame on a kernel
	// socket may take up in memory, so that a peer that promises much and
	// sends little costs little.
	growth = 4
)

// A channel frames messages on a net.Conn. One goroutine may read while
// another writes; neither side is safe for use by two.
type channel struct {
	conn   net.Conn
	socket *socket // nil if conn is no kernel socket
	max    int     // how much data a received or sent frame may carry

	// Owned by the goroutine that reads.
	buf  *frame // what was read and not yet parsed is buf.data[r:w]
	r, w int
	kept [messageHeaderLength]byte // has the place of buf.data while buf is nil
	part *frame                    // a frame whose data has not arrived in full
	skip int                       // how many bytes of an oversized frame are still to be dropped
	into bool                      // space handed out part's own memory
}

// newChannel returns a channel with the default message limit on conn.
func newChannel(conn net.Conn) *channel {
	return newChannelSize(conn, messageLengthMax)
}

func newChannelSize(conn net.Conn, maxLength int) *channel {
	ch := &channel{conn: conn, max: maxLength}
	ch.socket = newSocket(conn)
	return ch
}

// recv returns the next frame. The data is the caller's. An
// *OversizedMessageErr comes with the header of the frame that it is about,
// and the frames after that one can still be read; any other error is the end.
func (ch *channel) recv() (messageHeader, []byte, error) {
	f, err := ch.recvFrame(true)
	if f == nil {
		return messageHeader{}, nil, err
	}
	return f.header, f.data, err
}

// send writes one frame. It does not keep p.
func (ch *channel) send(streamID uint32, t messageType, flags uint8, p []byte) error {
	if len(p) > ch.max {
		return oversized(len(p), ch.max)
	}
	f := newOutFrame(len(p))
	f.data = append(f.data, p...)
	f.seal(messageHeader{StreamID: streamID, Type: t, Flags: flags})
	defer f.release()
	return ch.write(f.data)
}

// recvFrame returns the next frame, which the caller owns. If wait is false
// and the socket, a kernel socket, holds no whole frame, it returns errNoFrame.
func (ch *channel) recvFrame(wait bool) (*frame, error) {
	for {
		if f, err := ch.parse(); f != nil || err != nil {
			return f, err
		}
		if err := ch.fill(wait); err != nil {
			if err == io.EOF && (ch.w > ch.r || ch.part != nil || ch.skip > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// parse returns the next frame if it has arrived in full, else nil.
func (ch *channel) parse() (*frame, error) {
	if ch.skip > 0 {
		n := min(ch.skip, ch.w-ch.r)
		ch.r += n
		ch.skip -= n
	}
	if ch.part == nil {
		if ch.skip > 0 || ch.w-ch.r < messageHeaderLength {
			return nil, nil
		}
		h, _ := parseHeader(ch.buf.data[ch.r:ch.w])
		if h.Length > messageLengthCap {
			return nil, &connError{fmt.Sprintf("a frame header announces %d bytes, more than any message can have", h.Length)}
		}
		ch.r += messageHeaderLength
		if int(h.Length) > ch.max {
			ch.skip = int(h.Length)
			return &frame{header: h}, oversized(int(h.Length), ch.max)
		}
		ch.part = newFrame(ch.firstSize(int(h.Length)))
		ch.part.header = h
	}
	f := ch.part
	for ch.r < ch.w && len(f.data) < int(f.header.Length) {
		ch.growPart()
		n := copy(f.data[len(f.data):min(cap(f.data), int(f.header.Length))], ch.buf.data[ch.r:ch.w])
		f.data = f.data[:len(f.data)+n]
		ch.r += n
	}
	if len(f.data) < int(f.header.Length) {
		return nil, nil
	}
	ch.part = nil
	return f, nil
}

// hasFrame tells whether recvFrame would return one without reading.
func (ch *channel) hasFrame() bool {
	if ch.part != nil || ch.skip > 0 || ch.w-ch.r < messageHeaderLength {
		return false
	}
	h, _ := parseHeader(ch.buf.data[ch.r:ch.w])
	return ch.w-ch.r-messageHeaderLength >= int(h.Length)
}

// firstSize is how much memory a frame with n bytes of data starts with: all
// of it on a conn that is no kernel socket, because one Read there must have
// room for all that remains (B43).
func (ch *channel) firstSize(n int) int {
	if ch.socket == nil {
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

// growPart makes room for more of the frame that is arriving.
func (ch *channel) growPart() {
	if f := ch.part; len(f.data) == cap(f.data) {
		f.grow(sizeFor(int(f.header.Length), len(f.data)))
	}
}

// space returns where the next bytes go: straight into the frame that is
// arriving if much of it is missing, else into the buffer. It has no capacity
// beyond its length, which NRI's multiplexer would take for room.
func (ch *channel) space() []byte {
	if f := ch.part; f != nil && ch.r == ch.w {
		if rest := int(f.header.Length) - len(f.data); rest >= packetSize {
			ch.growPart()
			ch.into = true
			end := min(cap(f.data), int(f.header.Length))
			return f.data[len(f.data):end:end]
		}
	}
	ch.into = false
	ch.makeBuffer()
	return slices.Clip(ch.buf.data[ch.w:])
}

// makeBuffer sees to a buffer that has nothing in it but what parse left,
// which is less than a header. On a conn that is no kernel socket it must have
// room for all that remains of a frame that is being dropped, too (B43).
func (ch *channel) makeBuffer() {
	size := readBufferSize
	if ch.socket == nil {
		size = max(packetSize+messageHeaderLength, ch.skip)
	}
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

// fill reads once.
func (ch *channel) fill(wait bool) error {
	if ch.socket != nil {
		return ch.socket.fill(ch, wait)
	}
	n, err := ch.conn.Read(ch.space())
	if n > 0 {
		ch.advance(n)
		return nil // an error comes again
	}
	return err
}

// write writes all of b, which holds whole frames, and blocks until it is done.
func (ch *channel) write(b []byte) error {
	if ch.socket == nil && len(b) > packetSize {
		if _, err := ch.conn.Write(b[:packetSize]); err != nil {
			return err
		}
		b = b[packetSize:]
	}
	_, err := ch.conn.Write(b)
	return err
}

// batchSize is how many bytes of small frames may leave in one write.
func (ch *channel) batchSize() int {
	if ch.socket == nil {
		return packetSize
	}
	return maxPending
}
