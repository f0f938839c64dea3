// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/wire"
)

const (
	maxClassic  = wire.DefaultMaxLength
	maxExtended = 262144
	overhead    = 256  // of the credit of a message
	fileCost    = 4096 // of the credit of a descriptor
)

// A frame has come from the peer, its parts and files with it.
type frame struct {
	wire.Header
	data  []byte
	files []*os.File
	parts int
}

func (f frame) String() string {
	return fmt.Sprintf("a %v on id %d with flags %02x and %d bytes", vector.Type(f.Type), f.StreamID, f.Flags, len(f.data))
}

// A link is the raw peer's end of a connection. It keeps what comes by streams, puts parts
// together, counts credit and answers pings. All else is the case's affair.
type link struct {
	conn     net.Conn
	extended bool
	hello    wire.Hello // the peer's

	room    []byte // for a read
	buf     []byte
	ended   error
	queues  map[uint32][]frame
	parts   map[uint32]*frame
	files   []*os.File        // that no files frame has taken
	got     map[uint32]uint64 // credit that has come
	spent   map[uint32]uint64 // credit that was used
	highest uint32            // id of this side's
}

func newLink(conn net.Conn) *link {
	return &link{conn: conn, room: make([]byte, 64<<10), queues: make(map[uint32][]frame), parts: make(map[uint32]*frame),
		got: make(map[uint32]uint64), spent: make(map[uint32]uint64)}
}

func (l *link) close() {
	l.conn.Close()
	for _, f := range l.files {
		f.Close()
	}
	for _, q := range l.queues {
		for _, f := range q {
			for _, file := range f.files {
				file.Close()
			}
		}
	}
}

// credit is how much may be sent of a stream's messages, or with 0, of requests.
func (l *link) credit(stream uint32) int {
	window := l.hello.Window
	if stream == 0 {
		window = l.hello.ConnectionWindow
	}
	return int(window + l.got[stream] - l.spent[stream])
}

// until reads until done says so.
func (l *link) until(timeout time.Duration, done func() bool) error {
	deadline := time.Now().Add(timeout)
	for !done() {
		if l.ended != nil {
			return l.ended
		}
		if err := l.conn.SetReadDeadline(deadline); err != nil {
			return err
		}
		if err := l.fill(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errLate
			}
			l.ended = err
		}
	}
	return nil
}

var errLate = errors.New("nothing has come in time")

// fill reads once, and takes the frames that have come in full.
func (l *link) fill() error {
	room := make([]byte, 64<<10)
	n, err := l.read(room)
	l.buf = append(l.buf, room[:n]...)
	for {
		h, parseErr := wire.ParseHeader(l.buf)
		if parseErr != nil {
			break
		}
		if err := l.check(h); err != nil {
			return err
		}
		if len(l.buf) < wire.HeaderLength+int(h.Length) {
			break
		}
		data := l.buf[wire.HeaderLength:][:h.Length:h.Length]
		l.buf = l.buf[wire.HeaderLength+int(h.Length):]
		if err := l.take(frame{Header: h, data: data}); err != nil {
			return err
		}
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && len(l.buf) > 0 {
		return fmt.Errorf("the peer has ended the connection within a frame: %w", err)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the peer has closed the connection: %w", err)
	}
	return err
}

func (l *link) read(b []byte) (int, error) {
	conn, ok := l.conn.(*net.UnixConn)
	if !ok {
		return l.conn.Read(b)
	}
	n, files, err := readFiles(conn, b)
	n = max(0, n)
	l.files = append(l.files, files...)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// A violation is what no peer may send, whatever the case.
type violation struct{ text string }

func (v violation) Error() string { return "the peer breaks the protocol: " + v.text }

// check looks at a header.
func (l *link) check(h wire.Header) error {
	limit := uint32(maxClassic)
	if l.extended {
		limit = maxExtended
		if err := wire.CheckControl(h); err != nil {
			return violation{err.Error()}
		}
	}
	if h.Length > limit {
		return violation{fmt.Sprintf("a %v of %d bytes, and %d is the limit", vector.Type(h.Type), h.Length, limit)}
	}
	return nil
}

// take puts a frame where it belongs.
func (l *link) take(f frame) error {
	id := f.StreamID
	if !l.extended {
		l.queues[id] = append(l.queues[id], f)
		return nil
	}
	switch f.Type {
	case wire.TypePing:
		if f.Flags&wire.FlagAnswer == 0 {
			_, err := l.conn.Write(wire.AppendFrame(nil, 0, wire.TypePing, wire.FlagAnswer, f.data))
			return err
		}
	case wire.TypeCredit:
		n, err := wire.ParseNumber(f.data)
		if err != nil || n == 0 {
			return violation{"credit of nothing"}
		}
		l.got[id] += uint64(n)
		return nil
	case wire.TypeWant:
		if n, err := wire.ParseNumber(f.data); id == 0 && n == 0 && err == nil {
			return nil
		}
	case wire.TypePart:
		if f.Flags&wire.FlagReset == 0 {
			f.parts++
			l.collect(f)
			return nil
		}
		delete(l.parts, id)
	case wire.TypeFiles:
		n, err := wire.ParseNumber(f.data)
		if err != nil || int(n) > len(l.files) {
			return violation{fmt.Sprintf("%d descriptors were announced, and %d have come", n, len(l.files))}
		}
		f.data, f.files = nil, l.files[:n:n]
		l.files = l.files[n:]
		l.collect(f)
		return nil
	case wire.TypeRequest, wire.TypeResponse, wire.TypeData:
		if begun := l.parts[id]; begun != nil {
			f.data, f.files, f.parts = append(begun.data, f.data...), begun.files, begun.parts
			delete(l.parts, id)
		}
	}
	l.queues[id] = append(l.queues[id], f)
	return nil
}

// collect keeps what belongs to the next message of a stream.
func (l *link) collect(f frame) {
	begun := l.parts[f.StreamID]
	if begun == nil {
		begun = new(frame)
		l.parts[f.StreamID] = begun
	}
	begun.data = append(begun.data, f.data...)
	begun.files = append(begun.files, f.files...)
	begun.parts += f.parts
}

// next takes the next frame of a stream.
func (l *link) next(stream uint32, timeout time.Duration) (frame, error) {
	err := l.until(timeout, func() bool { return len(l.queues[stream]) > 0 })
	if err != nil {
		return frame{}, err
	}
	f := l.queues[stream][0]
	if l.queues[stream] = l.queues[stream][1:]; len(l.queues[stream]) == 0 {
		delete(l.queues, stream)
	}
	return f, nil
}

// quiet says what has come that nothing has asked for.
func (l *link) quiet() error {
	for _, q := range l.queues {
		if len(q) > 0 {
			return fmt.Errorf("the peer has sent %v, which is not expected", q[0])
		}
	}
	return nil
}
