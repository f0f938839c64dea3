// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	wire "github.com/moby/spdystream/spdy"
)

// A Dialect is one of those that libchan was spoken in. Nothing on the wire tells which one a
// peer speaks, so it is an option: see [WithDialect].
type Dialect uint8

const (
	// Released is the dialect of the release v0.1.0 and of jschan.
	Released Dialect = iota

	// Main is the dialect of the last commits, which were never released.
	Main
)

// String returns the dialect's name.
func (d Dialect) String() string {
	if d == Main {
		return "main"
	}
	return "v0.1.0"
}

// A role is what the peer does with a stream that a message of ours names, or this side with
// one that a message of the peer's names.
type role uint8

const (
	receives role = iota // messages
	sends                // messages
	duplex               // bytes, both ways
	reads                // bytes
	writes               // bytes
	roles
)

func (r role) isBytes() bool { return r >= duplex }

// The types of extensions in Main are for each role one, with the id as payload. In Released
// the type of channels is one, and the payload begins with a byte that tells the direction.
var mainTypes = [roles]byte{receives: 5, sends: 4, duplex: 1, reads: 3, writes: 2}

const (
	mainTime = 6 // seconds in 8 bytes, nanoseconds in 4

	releasedChannel  = 1
	releasedBytes    = 2
	releasedReceives = 1 // the direction
	releasedSends    = 2
)

// A name is a stream in a message.
type name struct {
	ref  uint64
	role role
}

// extOf returns the extension that names a stream.
func (d Dialect) extOf(n name) (ext byte, payload []byte) {
	id := binary.BigEndian.AppendUint32(nil, uint32(n.ref))
	if n.ref > 1<<32-1 {
		id = binary.BigEndian.AppendUint64(nil, n.ref)
	}
	switch {
	case d == Main:
		return mainTypes[n.role], id
	case n.role == receives:
		return releasedChannel, append([]byte{releasedReceives}, id...)
	case n.role == sends:
		return releasedChannel, append([]byte{releasedSends}, id...)
	}
	return releasedBytes, id
}

// nameOf returns the stream that an extension names; ok is false if it names none.
func (d Dialect) nameOf(ext byte, payload []byte) (n name, ok bool, err error) {
	id := payload
	switch {
	case d == Main:
		n.role = roles
		for r, t := range mainTypes {
			if t == ext {
				n.role = role(r)
			}
		}
		if n.role == roles {
			return n, false, nil
		}
	case ext == releasedBytes:
		n.role = duplex
	case ext != releasedChannel:
		return n, false, nil
	case len(payload) > 0 && payload[0] == releasedReceives:
		n.role, id = receives, payload[1:]
	case len(payload) > 0 && payload[0] == releasedSends:
		n.role, id = sends, payload[1:]
	default:
		return n, false, malformed("a channel in a message has no direction: % x", payload)
	}
	switch len(id) {
	case 4:
		n.ref = uint64(binary.BigEndian.Uint32(id))
	case 8:
		n.ref = binary.BigEndian.Uint64(id)
	default:
		return n, false, malformed("the id of a channel has %d bytes", len(id))
	}
	return n, true, nil
}

const (
	headerRef    = "libchan-ref"
	headerParent = "libchan-parent-ref"
)

// opening returns the frame that opens a stream. parent is nil for a channel of its own.
func (d Dialect) opening(st, parent *stream, bytes bool) *wire.SynStreamFrame {
	f := &wire.SynStreamFrame{StreamId: st.id, Headers: http.Header{headerRef: {strconv.FormatUint(st.ref, 10)}}}
	switch {
	case d == Released && parent == nil:
		f.Headers[headerParent] = []string{"0"}
	case parent != nil && !(d == Released && bytes):
		f.Headers[headerParent] = []string{strconv.FormatUint(parent.ref, 10)}
		if d == Released {
			f.AssociatedToStreamId = parent.id
		}
	}
	return f
}

// opened reads the headers of a stream that the peer has opened. parent is 0 if they tell none.
func (d Dialect) opened(h http.Header) (ref, parent uint64, top bool, err error) {
	refs, parents := h.Values(headerRef), h.Values(headerParent)
	if len(refs) != 1 || len(parents) > 1 {
		return 0, 0, false, malformed("a stream has %d headers %s and %d %s", len(refs), headerRef, len(parents), headerParent)
	}
	if ref, err = strconv.ParseUint(refs[0], 10, 64); err != nil {
		return 0, 0, false, malformed("the header %s is %q", headerRef, refs[0])
	}
	if len(parents) == 0 || parents[0] == "" {
		return ref, 0, d == Main, nil
	}
	if parent, err = strconv.ParseUint(parents[0], 10, 64); err != nil {
		return 0, 0, false, malformed("the header %s is %q", headerParent, parents[0])
	}
	return ref, parent, parent == 0, nil
}

// reply returns the frame that answers an opening. Old peers look at none of its headers; those
// that begin with a colon are SPDY's.
func (d Dialect) reply(id wire.StreamId, ok bool) *wire.SynReplyFrame {
	f := &wire.SynReplyFrame{StreamId: id}
	status := "200"
	switch {
	case !ok && d == Main:
		status = "502"
	case !ok:
		status = "400"
	}
	if !ok {
		f.CFHeader.Flags = wire.ControlFlagFin
	}
	f.Headers = http.Header{":status": {status}, ":version": {"HTTP/1.1"}, "status": {status}}
	return f
}

// refusal returns the error that an answer to an opening is, or nil.
func refusal(h http.Header) error {
	for _, name := range []string{"status", ":status"} {
		status := h.Get(name)
		code, _, _ := strings.Cut(status, " ")
		if n, err := strconv.Atoi(code); err == nil && n >= 300 {
			return fmt.Errorf("libchan/spdy: the peer has refused the channel with the status %s", status)
		}
	}
	return nil
}
