// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/containerd/ttrpc/internal/wire"
)

// fuzzLimit is the message limit of what is fuzzed: low, so that inputs may
// well exceed it, and above packetSize, so that frames may span packets.
const fuzzLimit = 2 * packetSize

// fuzzSeeds calls add for the bytes that each recorded exchange's client, or
// server, sent, and for frames around the limits.
func fuzzSeeds(f *testing.F, from string, add func(wire []byte)) {
	f.Helper()
	for _, x := range goldenExchanges(f) {
		var wire []byte
		for _, frame := range x.Frames {
			if data, err := hex.DecodeString(frame.Data); err == nil && frame.From == from {
				wire = append(wire, fuzzFrame(frame.Stream, frame.Type, frame.Flags, data)...)
			}
		}
		add(wire)
	}
	for _, n := range []int{packetSize, packetSize + 2, fuzzLimit, fuzzLimit + 1} {
		add(append(fuzzFrame(1, messageTypeRequest, 0, make([]byte, n)), fuzzFrame(3, messageTypeData, 0, nil)...))
	}
	add([]byte("GET / HTTP/1.1\r\n\r\n"))
	add(make([]byte, messageHeaderLength))
}

func fuzzFrame(id uint32, typ messageType, flags uint8, data []byte) []byte {
	return wire.AppendFrame(nil, id, typ, flags, data)
}

// A fuzzRecord is what a reader of frames reports: a frame, one that is too
// long, or how the connection ends.
type fuzzRecord struct {
	header messageHeader
	data   string
	err    string
}

// fuzzParse is the naive parser: all of the input is in memory. It also
// returns how many bytes the frames that are whole take up.
func fuzzParse(b []byte) (all []fuzzRecord, whole int) {
	total := len(b)
	for {
		h, err := parseHeader(b)
		switch n := uint64(h.Length); {
		case len(b) == 0:
			return append(all, fuzzRecord{err: io.EOF.Error()}), total
		case err != nil:
			return append(all, fuzzRecord{err: io.ErrUnexpectedEOF.Error()}), total - len(b)
		case n > messageLengthCap:
			return append(all, fuzzRecord{err: ErrProtocol.Error()}), total - len(b)
		case n > fuzzLimit:
			all = append(all, fuzzRecord{header: h, err: oversized(int(n), fuzzLimit).Error()})
			if n > uint64(len(b)-messageHeaderLength) {
				return append(all, fuzzRecord{err: io.ErrUnexpectedEOF.Error()}), total - len(b)
			}
			b = b[messageHeaderLength+n:]
		case n > uint64(len(b)-messageHeaderLength):
			return append(all, fuzzRecord{err: io.ErrUnexpectedEOF.Error()}), total - len(b)
		default:
			all = append(all, fuzzRecord{header: h, data: string(b[messageHeaderLength:][:n])})
			b = b[messageHeaderLength+n:]
		}
	}
}

// A fuzzConn hands out its bytes in pieces, and looks at the memory that the
// channel holds whenever that reads.
type fuzzConn struct {
	net.Conn
	t     *testing.T
	ch    *channel
	rest  []byte
	cuts  []byte // the lengths of the pieces less 1, over and over
	reads int

	dropping int // how long the frame is that is being dropped
}

func (c *fuzzConn) Read(p []byte) (int, error) {
	c.check(len(p))
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(c.cuts) > 0 {
		n = min(n, 1+int(c.cuts[c.reads%len(c.cuts)]))
		c.reads++
	}
	n = copy(p[:n], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// check looks at a Read with room for n bytes, and at the memory behind it,
// which is a power of two and so up to twice what was asked for.
func (c *fuzzConn) check(n int) {
	missing, bound := c.ch.skip, readBufferSize
	if c.dropping = max(c.dropping, c.ch.skip); c.ch.skip == 0 {
		c.dropping = 0
	}
	if c.ch.kind == packetConn {
		bound = 2 * max(packetSize+messageHeaderLength, c.dropping)
	}
	if b := c.ch.buf; b != nil && cap(b.data) > bound {
		c.t.Fatalf("a buffer of %d bytes", cap(b.data))
	}
	if f := c.ch.part; f != nil {
		missing, bound = int(f.header.Length)-len(f.data), max(2*int(f.header.Length), 1<<minFrameShift)
		if c.ch.kind != packetConn { // what was promised and has not arrived costs little
			bound = min(bound, max(packetSize, 2*growth*len(f.data)))
		}
		if cap(f.data) > bound {
			c.t.Fatalf("%d of %d bytes have arrived and take up %d", len(f.data), f.header.Length, cap(f.data))
		}
	}
	if c.ch.kind == packetConn && n < max(packetSize, missing) {
		c.t.Fatalf("B43: a Read with room for %d bytes where %d are missing", n, missing)
	}
}

// A fuzzSocket lets the channel take a fuzzConn for a kernel socket.
type fuzzSocket struct {
	syscall.RawConn
	conn *fuzzConn
}

func (s fuzzSocket) Read(func(uintptr) bool) error {
	n, err := s.conn.Read(s.conn.ch.space())
	s.conn.ch.advance(n)
	return err
}

// FuzzParseFrames compares what a channel makes of any bytes, cut anywhere,
// with the naive parser.
func FuzzParseFrames(f *testing.F) {
	fuzzSeeds(f, "client", func(wire []byte) {
		f.Add(wire, []byte{}, true)
		f.Add(wire, []byte{0}, false)
		f.Add(wire, []byte{99}, true) // a piece then crosses the end of what a frame starts with
		f.Add(wire, []byte{8, 255, 0, 100}, true)
	})
	f.Fuzz(func(t *testing.T, wire, cuts []byte, stream bool) {
		kinds := []connKind{packetConn}
		if stream {
			kinds = []connKind{streamConn, socketConn}
		}
		want, _ := fuzzParse(wire)
		for _, kind := range kinds {
			conn := &fuzzConn{t: t, rest: wire, cuts: cuts}
			conn.ch = newChannelSize(conn, fuzzLimit)
			if conn.ch.kind = kind; kind == socketConn {
				conn.ch.socket = &socket{raw: fuzzSocket{conn: conn}}
			}
			fuzzFrames(t, conn.ch, want)
		}
	})
}

// fuzzFrames compares what a channel reads with what is wanted.
func fuzzFrames(t *testing.T, ch *channel, want []fuzzRecord) {
	for i, record := range want {
		h, data, err := ch.recv()
		got := fuzzRecord{header: h, data: string(data)}
		var broken *connError
		switch {
		case errors.As(err, &broken):
			got.err = broken.Unwrap().Error()
		case err != nil:
			got.err = err.Error()
		}
		if got != record {
			t.Fatalf("B35: frame %d of a conn of kind %d is %+v, want %+v", i, ch.kind, got, record)
		}
	}
}
