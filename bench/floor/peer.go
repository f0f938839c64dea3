// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/containerd/ttrpc/bench/measure"
)

// What a frame asks for.
const (
	kindCall byte = iota
	kindUpload
	kindDownload
	kindChat
)

// A frame is a header and as many bytes as ttrpc has there:
//
//	0: length of what follows the header, 4 bytes
//	4: length of the answer, or how many bytes a stream has, 5 bytes
//	9: kind
const headerLength = 10

// chunk is how much is read or written at once at most.
const chunk = 64 << 10

// wrapped is how long a protobuf message is that holds n bytes.
func wrapped(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + (bits.Len(uint(n))+6)/7 + n
}

// requestLength and responseLength are how long ttrpc's envelopes are: a request tells
// a service, "bench.Echo", and a method, "Echo".
func requestLength(size int) int { return wrapped(10) + wrapped(4) + wrapped(wrapped(size)) }

func responseLength(size int) int { return wrapped(wrapped(size)) }

func appendFrame(b []byte, kind byte, length, number int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = append(b, byte(number>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(number))
	b = append(b, kind)
	return append(b, content()[:length]...)
}

// A buffer holds what has arrived.
type buffer struct{ data []byte }

// buffers are those that nobody uses. A sync.Pool would lose them with each garbage
// collection.
var buffers = make(chan *buffer, 16)

func newBuffer() *buffer {
	select {
	case b := <-buffers:
		return b
	default:
		return &buffer{make([]byte, 0, chunk)}
	}
}

func (b *buffer) release() {
	select {
	case buffers <- b:
	default:
	}
}

func (b *buffer) kind() byte { return b.data[9] }

// number returns the number in the header of the frame at an offset.
func (b *buffer) number(at int) int {
	return int(b.data[at+4])<<32 | int(binary.BigEndian.Uint32(b.data[at+5:]))
}

// handed keeps the compiler from leaving out a copy.
var handed atomic.Pointer[byte]

// hand gives a large message to its receiver, which wants memory of its own.
func (b *buffer) hand() {
	if len(b.data) >= chunk/2 {
		message := append([]byte(nil), b.data...)
		handed.Store(&message[0])
	}
}

// A peer is one end of a connection.
type peer struct {
	conn    net.Conn
	raw     syscall.RawConn
	attempt func(fd uintptr) bool
	got     *buffer // by the last attempt
	err     error
}

func newPeer(conn net.Conn) *peer {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	measure.Must(err)
	p := &peer{conn: conn, raw: raw}
	p.attempt = p.read1
	return p
}

// read1 tries to read something.
func (p *peer) read1(fd uintptr) bool {
	b := newBuffer()
	n, err := syscall.Read(int(fd), b.data[:cap(b.data)])
	switch {
	case errors.Is(err, syscall.EAGAIN):
		b.release()
		return false
	case err == nil && n == 0:
		err = io.EOF
	}
	b.data = b.data[:max(n, 0)]
	p.got, p.err = b, err
	return true
}

// receive returns what has arrived, once something has. Until then it holds no
// buffer.
func (p *peer) receive() (*buffer, error) {
	if err := p.raw.Read(p.attempt); err != nil {
		return nil, err
	}
	if p.err != nil {
		p.got.release()
	}
	return p.got, p.err
}

// fill reads until the buffer has n bytes.
func (p *peer) fill(b *buffer, n int) error {
	had := len(b.data)
	if had >= n {
		return nil
	}
	if cap(b.data) < n {
		b.data = append(make([]byte, 0, n), b.data...)
	}
	b.data = b.data[:n]
	_, err := io.ReadFull(p.conn, b.data[had:])
	return err
}

// content is what is written; nobody looks at it.
var content = sync.OnceValue(func() []byte { return measure.Content(5 << 20) })
