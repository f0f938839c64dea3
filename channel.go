// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/containerd/ttrpc/internal/wire"
)

// What stands on the wire is the business of internal/wire. These names of its
// things are short for this package, and some must stay as they are: tests inside
// the package that came with releases use messageHeader with its fields Length,
// StreamID, Type and Flags, the messageType constants, messageLengthMax, and
// newChannel with send and recv; and of other files fullPath, a server's mu,
// listeners, connections and countConnection, and a connection's getState.
type (
	messageType   = wire.Type
	messageHeader = wire.Header
)

const (
	messageHeaderLength = wire.HeaderLength
	messageLengthMax    = wire.DefaultMaxLength
	messageLengthCap    = wire.MaxLength // a longer frame ends the connection (B7)

	messageTypeRequest  = wire.TypeRequest
	messageTypeResponse = wire.TypeResponse
	messageTypeData     = wire.TypeData

	flagRemoteClosed = wire.FlagRemoteClosed
	flagRemoteOpen   = wire.FlagRemoteOpen
	flagNoData       = wire.FlagNoData
)

// messageTypeBeyond is the first type that classic ttrpc does not have.
const messageTypeBeyond messageType = 0x40

// maxMessageCap is what no option can exceed in extended mode, where large
// messages are cut.
const maxMessageCap = 1 << 30

// parseHeader reads a header from the front of b.
func parseHeader(b []byte) (messageHeader, error) { return wire.ParseHeader(b) }

const (
	// packetSize is what one Write may carry on a conn that sends packets, and
	// what one Read on it must have room for (B43).
	packetSize = 4096

	// readBufferSize is how much is read at once of a byte stream.
	readBufferSize = 32 << 10

	// waitBufferSize is how much memory waits for what comes next on a byte stream
	// that is no kernel socket.
	waitBufferSize = 1 << 10

	// growth is how many times the data that has arrived a frame of a byte stream
	// may take up in memory, so that a peer that promises much and sends little
	// costs little.
	growth = 4
)

// A channel frames messages on a net.Conn. One goroutine may read while
// another writes; neither side is safe for use by two.
type channel struct {
	conn   net.Conn
	socket *socket // nil unless that is socketConn
	max    int     // how much data a received or sent frame may carry
	kind   connKind
	passes bool // files may come and leave; set before anything is read

	// Owned by the goroutine that reads.
	into  bool                      // space handed out part's own memory
	full  bool                      // the last Read left no room in the buffer
	kept  [messageHeaderLength]byte // has the place of buf.data while buf is nil
	buf   *frame                    // what was read and not yet parsed is buf.data[r:w]
	r, w  int
	part  *frame                // a frame whose data has not arrived in full
	want  int                   // how many bytes of data part has then
	from  int                   // where in part's data the frame's begins
	room  func(arrived int) int // how much memory part may take up if more data than want may follow, else nil
	skip  int                   // how many bytes of an oversized frame are still to be dropped
	empty int                   // how many Reads in a row gave nothing
	more  framing               // of a mode, or nil

	lends bool // a frame is used up before the next is read, so it may have the buffer

	heard *atomic.Int64                      // when the last byte came, as now has it, if somebody wants to know, else nil
	seen  func(h messageHeader, data []byte) // is told of each frame, or nil
}

// A framing is what a mode does to frames below the connection. It belongs to the reader.
type framing interface {
	// begin prepares for the data of a frame whose header has come, by channel.begin or
	// channel.receiveInto. It may return a frame that has no data to wait for.
	begin(ch *channel, h messageHeader) (*frame, error)

	// end is called when a frame has arrived in full. It reports whether that is one for
	// the connection; else it has taken it.
	end(ch *channel, f *frame) (whole bool, err error)

	// read reads once from a kernel socket, without blocking.
	read(fd int, b []byte) (n int, err error)

	// drop gives back all that is held. Nothing more is read.
	drop()

	// closing is called before the conn is closed, by whoever does, while it may be read.
	closing(ch *channel)
}

// newChannel returns a channel with the default message limit on conn.
func newChannel(conn net.Conn) *channel {
	return newChannelSize(conn, messageLengthMax)
}

func newChannelSize(conn net.Conn, maxLength int) *channel {
	ch := &channel{conn: conn, kind: kindOf(conn), max: maxLength}
	if ch.kind == socketConn {
		if ch.socket = newSocket(conn); ch.socket == nil {
			ch.kind = streamConn // whose reads tell the error
		}
	}
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
// and no whole frame has arrived, it returns errNoFrame; not for packet conns.
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
	for {
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
			if f, err := ch.beginNext(h); f != nil || err != nil {
				return f, err
			}
		}
		f := ch.part
		if ch.lends && ch.fillsBuffer() {
			ch.lend()
		}
		for ch.r < ch.w && len(f.data) < ch.want {
			ch.growPart()
			n := copy(f.data[len(f.data):min(cap(f.data), ch.want)], ch.buf.data[ch.r:ch.w])
			f.data = f.data[:len(f.data)+n]
			ch.r += n
		}
		if len(f.data) < ch.want {
			return nil, nil
		}
		ch.part, ch.room = nil, nil
		if ch.seen != nil {
			h := f.header
			h.Length = uint32(ch.want - ch.from)
			ch.seen(h, f.data[ch.from:])
		}
		if ch.more == nil {
			return f, nil
		}
		if whole, err := ch.more.end(ch, f); whole || err != nil {
			return f, err
		}
	}
}

// beginNext prepares for what follows a header. It returns a frame that has no data to
// wait for.
func (ch *channel) beginNext(h messageHeader) (*frame, error) {
	if ch.more != nil {
		return ch.more.begin(ch, h)
	}
	return ch.begin(h)
}

// begin prepares for the data of a frame, or drops it if it is over the limit.
func (ch *channel) begin(h messageHeader) (*frame, error) {
	if int(h.Length) > ch.max {
		ch.pass(h)
		return &frame{header: h}, oversized(int(h.Length), ch.max)
	}
	ch.beginAny(h)
	return nil, nil
}

// pass has the data of a frame dropped, if there is any.
func (ch *channel) pass(h messageHeader) {
	ch.skip = int(h.Length)
	if ch.seen != nil {
		ch.seen(h, nil)
	}
}

// beginAny is begin for a frame that no limit is for.
func (ch *channel) beginAny(h messageHeader) {
	f := newFrame(ch.firstSize(int(h.Length)))
	f.header = h
	ch.receiveInto(f, int(h.Length))
}

// ended is called when nothing more is read.
func (ch *channel) ended() {
	ch.idle()
	if ch.more != nil {
		if ch.part != nil && ch.room == nil {
			ch.part.release()
		}
		ch.part = nil
		ch.more.drop()
	}
}

// writeFrame writes the rest of f, of which some was written, and blocks until it is
// done.
func (ch *channel) writeFrame(f *frame, written int) error {
	if f.writes() {
		n, err := f.extras.writeFirst(ch.socket, f)
		if err != nil || n == len(f.data) {
			return err
		}
		written = n
	}
	return ch.write(f.data[written:])
}

// tryWrite writes what a kernel socket takes of f without blocking, and says how much;
// to other conns it writes all of f.
func (ch *channel) tryWrite(f *frame) (int, error) {
	if ch.kind == socketConn {
		return ch.socket.tryWrite(f)
	}
	return len(f.data), ch.write(f.data)
}

// write writes all of b, which holds whole frames, and blocks until it is done.
func (ch *channel) write(b []byte) error {
	if ch.kind == packetConn && len(b) > packetSize {
		if err := writeAll(ch.conn, b[:packetSize]); err != nil {
			return err
		}
		b = b[packetSize:]
	}
	return writeAll(ch.conn, b)
}

// writeAll writes b. A Write that takes less must say why; one that does not is an error.
func writeAll(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
