// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
)

// DefaultPort is the server's port of a connection that names none. ttrpc has no port of
// its own; dissector/ttrpc.lua knows this one.
const DefaultPort = 7774

const (
	// maxSegment is how many bytes of data go into one packet. With its headers it
	// stays below what IP can tell the length of.
	maxSegment = 60 << 10

	// maxComment is how long a comment may be: what an option can tell the length of.
	maxComment = 1<<16 - 1

	// Clients have ports from firstPort on, as those of kernels do. When all are used,
	// the next address begins.
	firstPort = 49152
	ports     = 1<<16 - firstPort

	ipLength  = 20
	tcpLength = 20
	synLength = 24 // with the option that widens the window
)

// errClosed is what Write returns after Close.
var errClosed = errors.New("pcapng: write on a stream that was closed")

// A Writer writes a capture. All its methods, and those of its streams, may be called
// concurrently.
type Writer struct {
	mu    sync.Mutex
	w     io.Writer
	err   error // that of the first write that failed; nothing is written after it
	conns int
	buf   []byte
}

// NewWriter begins a capture and writes its head to w. Each packet is one Write of w, so
// a program that dies leaves a file of whole packets.
func NewWriter(w io.Writer) (*Writer, error) {
	cw := &Writer{w: w}
	// The version is 1.0, and how long the section is, is not known.
	b := cw.begin(blockSection)
	b = binary.LittleEndian.AppendUint32(b, orderMagic)
	b = append(b, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	cw.end(b)

	// Times are in nanoseconds, packets have no limit.
	b = cw.begin(blockInterface)
	b = append(b, linkRaw, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, optionResolution, 0, 1, 0, 9, 0, 0, 0)
	b = append(b, optionEnd, 0, 0, 0)
	cw.end(b)
	return cw, cw.err
}

// begin returns memory with the beginning of a block.
func (w *Writer) begin(kind uint32) []byte {
	b := binary.LittleEndian.AppendUint32(w.buf[:0], kind)
	return append(b, 0, 0, 0, 0) // its length, see end
}

// end writes a block.
func (w *Writer) end(b []byte) {
	n := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], n)
	b = binary.LittleEndian.AppendUint32(b, n)
	w.buf = b
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

// A Conn is what a capture tells of a connection.
type Conn struct {
	Comment    string    // what it was: path, processes. It stands at the first packet.
	Start      time.Time // when it began
	ServerPort uint16    // 0 is DefaultPort
}

// A Stream is a connection of a capture.
type Stream struct {
	w      *Writer
	client side
	server side
	closed bool
}

// A side is one end of a stream.
type side struct {
	addr uint32 // IPv4
	port uint16
	next uint32 // the number of the next byte that it sends
}

// Conn begins a connection. If that cannot be written, the stream's methods say so.
func (w *Writer) Conn(c Conn) *Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.conns
	w.conns++
	const loopback = 127<<24 | 1
	s := &Stream{w: w}
	s.client.addr, s.client.port = loopback+1+uint32(n/ports), uint16(firstPort+n%ports)
	s.server.addr, s.server.port = loopback, c.ServerPort
	if c.ServerPort == 0 {
		s.server.port = DefaultPort
	}
	s.packet(false, c.Start, tcpSyn, nil, c.Comment)
	s.packet(true, c.Start, tcpSyn|tcpAck, nil, "")
	s.packet(false, c.Start, tcpAck, nil, "")
	return s
}

// Write records what the server or the client has sent, and a comment on it if that is
// not empty. Data and comment may be empty. What is not UTF-8 in a comment is replaced,
// and it is cut after 65,535 bytes. Write fails if a write to the file has failed, now or
// before, and after Close.
func (s *Stream) Write(fromServer bool, at time.Time, data []byte, comment string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.closed {
		return errClosed
	}
	for len(data) > maxSegment {
		s.packet(fromServer, at, tcpAck, data[:maxSegment], comment)
		data, comment = data[maxSegment:], ""
	}
	if len(data) > 0 {
		s.packet(fromServer, at, tcpAck|tcpPsh, data, comment)
	} else if comment != "" {
		s.packet(fromServer, at, tcpAck, nil, comment)
	}
	return s.w.err
}

// Skip says that the server or the client has sent n bytes that are not recorded. Readers see
// that they are missing.
func (s *Stream) Skip(fromServer bool, n int64) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if fromServer {
		s.server.next += uint32(n)
	} else {
		s.client.next += uint32(n)
	}
}

// Close records the end of the connection, in both directions. A second Close does
// nothing.
func (s *Stream) Close(at time.Time) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.packet(false, at, tcpFin|tcpAck, nil, "")
		s.packet(true, at, tcpFin|tcpAck, nil, "")
		s.packet(false, at, tcpAck, nil, "")
	}
	return s.w.err
}

// fitComment makes of a text one that fits an option.
func fitComment(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) > maxComment {
		text = strings.ToValidUTF8(text[:maxComment], "")
	}
	return text
}

// packet writes one packet.
func (s *Stream) packet(fromServer bool, at time.Time, flags uint8, data []byte, comment string) {
	from, to := &s.client, &s.server
	if fromServer {
		from, to = to, from
	}
	ticks := uint64(max(0, at.UnixNano()))
	if at.IsZero() {
		ticks = 0
	}
	headers := ipLength + tcpLength
	if flags&tcpSyn != 0 {
		headers = ipLength + synLength
	}
	b := s.w.begin(blockPacket)
	b = binary.LittleEndian.AppendUint32(b, 0) // the interface
	b = binary.LittleEndian.AppendUint32(b, uint32(ticks>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(ticks))
	b = binary.LittleEndian.AppendUint32(b, uint32(headers+len(data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(headers+len(data)))
	b = pad(appendTCP(b, from, to, flags, data))
	if comment = fitComment(comment); comment != "" {
		b = binary.LittleEndian.AppendUint16(b, optionComment)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(comment)))
		b = pad(append(b, comment...))
		b = append(b, optionEnd, 0, 0, 0)
	}
	s.w.end(b)
	from.next += uint32(len(data))
	if flags&(tcpSyn|tcpFin) != 0 {
		from.next++
	}
}

// pad fills up a block to whole words.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendTCP appends the headers of IP and TCP, and data.
func appendTCP(b []byte, from, to *side, flags uint8, data []byte) []byte {
	header := tcpLength
	if flags&tcpSyn != 0 {
		header = synLength
	}
	start := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(ipLength+header+len(data)))
	b = append(b, 0, 0, 0x40, 0, 64, protocolTCP, 0, 0) // not to be fragmented; 64 hops
	b = binary.BigEndian.AppendUint32(b, from.addr)
	b = binary.BigEndian.AppendUint32(b, to.addr)
	binary.BigEndian.PutUint16(b[start+10:], ^sum(0, b[start:]))

	tcp := len(b)
	b = binary.BigEndian.AppendUint16(b, from.port)
	b = binary.BigEndian.AppendUint16(b, to.port)
	b = binary.BigEndian.AppendUint32(b, from.next)
	ack := to.next
	if flags&tcpAck == 0 {
		ack = 0
	}
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, byte(header)<<2, flags, 0xff, 0xff, 0, 0, 0, 0)
	if flags&tcpSyn != 0 {
		b = append(b, 3, 3, 14, 0) // the window is 1 GiB, so that it is never full
	}
	b = append(b, data...)
	// Addresses, protocol and length count as if they stood before the header.
	pseudo := uint32(protocolTCP + header + len(data))
	pseudo = uint32(sum(pseudo, b[start+12:start+ipLength]))
	binary.BigEndian.PutUint16(b[tcp+16:], ^sum(pseudo, b[tcp:]))
	return b
}

// sum adds up b as IP does.
func sum(n uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	for n>>16 != 0 {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}
