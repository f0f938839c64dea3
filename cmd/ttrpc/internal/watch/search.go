// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"github.com/containerd/ttrpc/internal/wire"
)

// maxSought is how much data a frame may have by which a direction is found again. It bounds
// what is held meanwhile, and how long a false one can hide the true one.
const maxSought = 256 << 10

// A search is for a place where a frame begins, in a direction that has lost it. Nothing marks
// that on the wire. So a place counts if a header is there that makes sense, and if after its
// data there is another one or the end of what was written at once; most writes end with a
// frame.
type search struct {
	lost    bool
	quiet   bool // nothing was lost: what is watched began midway
	skipped uint64
	pending []byte // what has come and is not passed over yet
}

// find takes bytes, and returns those that are to be cut into frames.
func (f *half) find(s *session, data []byte) (rest []byte) {
	if startsFrames(data) {
		f.skip(len(f.pending))
		f.found(s)
		return data
	}
	f.pending = append(f.pending, data...)
	if f.offset == 0 && f.skipped == 0 && len(f.pending) >= wire.HeaderLength {
		if s.alien = foreign(f.pending); s.alien != "" {
			return nil
		}
	}
	for len(f.pending) >= wire.HeaderLength {
		h, _ := wire.ParseHeader(f.pending)
		end := wire.HeaderLength + int(h.Length)
		switch {
		case !sensible(h):
		case end > len(f.pending), end < len(f.pending) && end+wire.HeaderLength > len(f.pending):
			return nil // what follows will tell
		case end == len(f.pending) || sensibleAt(f.pending[end:]):
			rest = f.pending
			f.found(s)
			return rest
		}
		f.skip(1)
	}
	return nil
}

// skip passes over the first bytes that are pending.
func (f *half) skip(n int) {
	f.pending = f.pending[n:]
	f.skipped += uint64(n)
	f.offset += uint64(n)
}

func (f *half) found(s *session) {
	switch {
	case f.skipped == 0:
	case f.quiet:
		s.note(f.fromServer, "the first %d bytes belong to a frame that began before", f.skipped)
	default:
		s.note(f.fromServer, "a frame begins at byte %d: %d bytes were passed over", f.offset, f.skipped)
	}
	f.search = search{}
}

// startsFrames tells whether what was written at once is frames, of which the last may be
// incomplete.
func startsFrames(data []byte) bool {
	for whole := 0; ; whole++ {
		switch {
		case len(data) < wire.HeaderLength:
			return whole > 0
		case !sensibleAt(data):
			return false
		}
		_, _, rest, err := wire.CutFrame(data)
		if err != nil {
			return whole > 0 || looksLikeRequest(data)
		}
		data = rest
	}
}

// looksLikeRequest tells whether bytes begin with a request's header and the name of a service.
func looksLikeRequest(b []byte) bool {
	h, err := wire.ParseHeader(b)
	if err != nil || h.Type != wire.TypeRequest {
		return false
	}
	service, _ := wire.FrontOfRequest(b[wire.HeaderLength:])
	return len(service) > 0 && len(service) < maxName && printable(string(service)) == string(service)
}

func sensibleAt(b []byte) bool {
	h, _ := wire.ParseHeader(b)
	return sensible(h)
}

// sensible tells whether a header is one that a peer would send.
func sensible(h wire.Header) bool {
	if h.Length > maxSought {
		return false
	}
	switch h.Type {
	case wire.TypeRequest, wire.TypeResponse:
		return h.StreamID != 0 && h.Flags&^7 == 0
	case wire.TypeData:
		return h.StreamID != 0 && h.Flags&^5 == 0
	}
	return h.Type >= wire.TypePart && h.Type <= wire.TypeReturn && h.Flags&^3 == 0 && wire.CheckControl(h) == nil
}

// Sender tells who has sent what was written at once, if that begins with a frame that only one
// of both sends: the request of a call, or its response. Who dialled makes calls with odd ids.
func Sender(data []byte) (fromServer, ok bool) {
	if !startsFrames(data) {
		return false, false
	}
	h, err := wire.ParseHeader(data)
	switch {
	case err != nil:
		return false, false
	case h.Type == wire.TypeRequest:
		return h.StreamID%2 == 0, true
	case h.Type == wire.TypeResponse:
		return h.StreamID%2 == 1, true
	}
	return false, false
}
