// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"

	wire "github.com/moby/spdystream/spdy"
)

// frames reads and writes frames. What is read is looked at before the framer sees it, which
// trusts lengths: it is given one control frame at a time, whole.
type frames struct {
	framer *wire.Framer
	r      *bufio.Reader // for the one that reads
	one    bytes.Reader  // the frame that the framer reads
	max    uint32        // length of a control frame
	w      *bufio.Writer // for the one that writes
}

// maxHeaders is how many headers a stream may have; jschan's have eight.
const maxHeaders = 64

func newFrames(conn net.Conn, max uint32) (*frames, error) {
	f := &frames{r: bufio.NewReader(conn), max: max, w: bufio.NewWriter(conn)}
	var err error
	f.framer, err = wire.NewFramerWithOptions(f.w, &f.one, wire.WithMaxControlFramePayloadSize(max),
		wire.WithMaxHeaderFieldSize(max), wire.WithMaxHeaderCount(maxHeaders))
	return f, err
}

// read reads the next frame. Control frames of unknown types are skipped, as SPDY wants it.
func (f *frames) read() (wire.Frame, error) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(f.r, head[:]); err != nil {
			return nil, err
		}
		length := binary.BigEndian.Uint32(head[4:]) & (1<<24 - 1)
		if head[0]&0x80 == 0 {
			data, err := readGrowing(f.r, int(length))
			id := wire.StreamId(binary.BigEndian.Uint32(head[:]))
			return &wire.DataFrame{StreamId: id, Flags: wire.DataFlags(head[4]), Data: data}, err
		}
		if frame, err := f.control(head[:], length); frame != nil || err != nil {
			return frame, err
		}
	}
}

// lengths are those of control frames of a type: at least, and at most if that is not the
// general bound.
var lengths = map[wire.ControlFrameType][2]uint32{
	wire.TypeSynStream:    {10, 0},
	wire.TypeSynReply:     {4, 0},
	wire.TypeRstStream:    {8, 8},
	wire.TypeSettings:     {4, 0},
	wire.TypePing:         {4, 4},
	wire.TypeGoAway:       {8, 8},
	wire.TypeHeaders:      {4, 0},
	wire.TypeWindowUpdate: {8, 8},
}

// control reads a control frame. It returns nil for one that is skipped.
func (f *frames) control(head []byte, length uint32) (wire.Frame, error) {
	version := binary.BigEndian.Uint16(head) & 0x7fff
	kind := wire.ControlFrameType(binary.BigEndian.Uint16(head[2:]))
	limits, known := lengths[kind]
	switch {
	case version != wire.Version:
		return nil, malformed("a frame of version %d of SPDY, which is not %d", version, wire.Version)
	case length > f.max:
		return nil, malformed("a control frame of %d bytes, of which %d are allowed", length, f.max)
	case known && (length < limits[0] || limits[1] != 0 && length > limits[1]):
		return nil, malformed("a frame of type %d with %d bytes", kind, length)
	}
	frame, err := readGrowing(f.r, int(length))
	if err != nil || !known {
		return nil, err
	}
	f.one.Reset(append(head, frame...))
	parsed, err := f.framer.ReadFrame()
	if err == nil && f.one.Len() > 0 {
		err = malformed("%d bytes are left of it", f.one.Len())
	}
	if err != nil {
		return nil, malformed("a frame of type %d: %v", kind, err)
	}
	return parsed, nil
}

// readGrowing reads n bytes. Memory is taken as they arrive.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	if n <= step {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, noEOF(err)
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, int64(n))
	return b.Bytes(), noEOF(err)
}

// noEOF is the error of a read in the middle of a frame.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// write writes frames.
func (f *frames) write(batch []wire.Frame) error {
	for _, frame := range batch {
		if err := f.framer.WriteFrame(frame); err != nil {
			return err
		}
	}
	return f.w.Flush()
}
