// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"slices"

	"github.com/containerd/ttrpc/internal/wire"
)

// A half is one direction of a session: it cuts bytes into frames.
type half struct {
	fromServer bool
	offset     uint64 // of the next byte, or of the first of what is searched

	// Of the frame that is arriving.
	header []byte // as much of it as has come
	h      wire.Header
	data   []byte // the first of it that is kept
	left   int    // how many bytes of data are still to come
	torn   bool   // not all of data was recorded: what comes is not kept

	line []byte // of the handshake of hvsock, before the first frame; nil if there is none
	search
}

// take cuts bytes into frames and has the session handle these.
func (f *half) take(s *session, data []byte) {
	for len(data) > 0 && s.alien == "" {
		switch {
		case f.lost:
			data = f.find(s, data)
		case f.line != nil:
			data = f.takeLine(s, data)
		case len(f.header) < wire.HeaderLength:
			n := min(wire.HeaderLength-len(f.header), len(data))
			f.header = append(f.header, data[:n]...)
			f.offset += uint64(n)
			data = data[n:]
			if len(f.header) == wire.HeaderLength {
				data = f.begin(s, data)
			}
		default:
			data = f.takeData(s, data)
		}
	}
}

// takeData takes what belongs to the frame, and returns the rest.
func (f *half) takeData(s *session, data []byte) (rest []byte) {
	n := min(f.left, len(data))
	if n == f.left && len(f.data) == 0 && !f.torn {
		f.offset += uint64(n)
		f.complete(s, data[:min(n, s.config.MaxMessage)]) // as it came, without a copy
		return data[n:]
	}
	if keep := min(n, s.config.MaxMessage-len(f.data)); keep > 0 && !f.torn {
		f.data = append(f.data, data[:keep]...) // grows with what has come, not with what was promised
	}
	f.left -= n
	f.offset += uint64(n)
	if f.left == 0 {
		f.complete(s, f.data)
	}
	return data[n:]
}

// gap handles bytes that have passed and were not recorded. Within a frame's data they are
// counted; else the place is lost.
func (f *half) gap(s *session, n uint64) {
	switch {
	case f.lost:
		f.skip(len(f.pending))
		f.skipped += n
		f.offset += n
	case f.line == nil && len(f.header) == wire.HeaderLength && n < uint64(f.left):
		f.left -= int(n)
		f.offset += n
		f.torn = true
	default:
		s.note(f.fromServer, "%d bytes are missing after byte %d; looking for the next frame", n, f.offset)
		f.header, f.data, f.left, f.line, f.torn = f.header[:0], nil, 0, nil, false
		f.offset += n
		f.search = search{lost: true, skipped: n}
	}
}

// begin looks at a header that is complete, and returns what is to be looked at next.
func (f *half) begin(s *session, data []byte) (rest []byte) {
	f.h, _ = wire.ParseHeader(f.header)
	if f.h.Length > wire.MaxLength {
		return f.misfit(s, data)
	}
	f.left = int(f.h.Length)
	if f.left == 0 {
		f.complete(s, nil)
	}
	return data
}

// complete hands a frame on.
func (f *half) complete(s *session, data []byte) {
	h := f.h
	f.header, f.data, f.left, f.torn = f.header[:0], f.data[:0], 0, false
	if cap(f.data) > 1<<20 {
		f.data = nil // an idle connection does not keep what a large frame took
	}
	s.frame(f.fromServer, h, data)
}

// misfit is called with a header that cannot be one, and what follows it. It returns what is
// to be looked at next.
func (f *half) misfit(s *session, data []byte) (rest []byte) {
	begin := f.offset - wire.HeaderLength
	if begin == 0 {
		if s.alien = foreign(f.header); s.alien != "" {
			return nil
		}
		if isHandshake(f.header) {
			rest = slices.Concat(f.header, data)
			f.header, f.line, f.offset = f.header[:0], []byte{}, 0
			return rest
		}
	}
	s.note(f.fromServer, "no frame at byte %d: % x would have %d bytes of data; looking for the next one", begin, f.header, f.h.Length)
	rest = slices.Concat(f.header[1:], data)
	f.header = f.header[:0]
	f.offset = begin + 1
	f.search = search{lost: true, skipped: 1}
	return rest
}

// maxLine is how long a line of hvsock's handshake may be.
const maxLine = 64

// isHandshake tells whether a connection begins with hvsock's handshake, as those to
// Firecracker and Cloud Hypervisor do: "CONNECT PORT" and "OK NUMBER", each in a line.
func isHandshake(begin []byte) bool {
	return bytes.HasPrefix(begin, []byte("CONNECT ")) || bytes.HasPrefix(begin, []byte("OK "))
}

// takeLine takes the line of that handshake, and returns what follows it.
func (f *half) takeLine(s *session, data []byte) (rest []byte) {
	n := bytes.IndexByte(data, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(data)
	}
	f.line = append(f.line, data[:min(n, maxLine+1-len(f.line))]...)
	f.offset += uint64(n)
	switch {
	case len(f.line) > maxLine:
		s.alien = "this is no ttrpc: it begins with a line of text"
		return nil
	case whole:
		s.tell(Event{Kind: Control, FromServer: f.fromServer, Text: "handshake: " + string(bytes.TrimSpace(f.line))})
		f.line = nil
	}
	return data[n:]
}

// end tells what is missing of a frame when the direction has ended.
func (f *half) end(s *session) {
	switch {
	case f.lost:
		if n := f.skipped + uint64(len(f.pending)); n > 0 {
			s.note(f.fromServer, "the last %d bytes were passed over: no frame was found in them", n)
		}
	case len(f.header) == wire.HeaderLength:
		s.note(f.fromServer, "it ends within a frame (%s, id %d): %d of %d bytes have come",
			f.h.Type, f.h.StreamID, int(f.h.Length)-f.left, f.h.Length)
	case len(f.header) > 0:
		s.note(f.fromServer, "it ends within a header: %d of %d bytes have come", len(f.header), wire.HeaderLength)
	}
	f.header, f.data, f.left, f.search = f.header[:0], nil, 0, search{}
}

// foreign says what is spoken where a connection begins like this, or "".
func foreign(begin []byte) string {
	for _, known := range []struct{ prefix, what string }{
		{"PRI * HTTP", "this is HTTP/2, as gRPC speaks it, and not ttrpc (proxy --grpc understands it)"},
		{"GET ", "this is HTTP and not ttrpc"}, {"POST ", "this is HTTP and not ttrpc"},
		{"HTTP/1", "this is HTTP and not ttrpc"}, {"SSH-", "this is SSH and not ttrpc"},
		// Records of TLS: the type, and 3 for the first number of the version.
		{"\x16\x03", "this is TLS, which cannot be read on its way"},
		{"\x15\x03", "this is TLS, an alert, which cannot be read on its way"},
	} {
		if bytes.HasPrefix(begin, []byte(known.prefix)) {
			return known.what
		}
	}
	return ""
}
