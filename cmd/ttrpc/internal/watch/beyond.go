// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

// agree handles the answer to Hello. What comes after it is of the extended mode.
func (s *session) agree(e Event) {
	delete(s.streams, e.StreamID)
	s.tell(e)
	s.mode = classic
	if e.Status != nil {
		return // the peer does not know the mode, and the connection stays classic
	}
	hello, err := wire.ParseHello(e.Payload)
	if err != nil {
		s.note(e.FromServer, "a malformed answer to Hello: %v", err)
		return
	}
	s.mode = extended
	var features []string
	if hello.Files && s.hello.Files {
		features = append(features, wire.FeatureFiles)
	}
	if hello.Metadata && s.hello.Metadata {
		features = append(features, wire.FeatureMetadata)
	}
	text := fmt.Sprintf("extended mode, version %d, features: %s; messages of up to %d bytes",
		min(hello.Version, s.hello.Version), orNone(strings.Join(features, ", ")), min(hello.MaxMessage, s.hello.MaxMessage))
	s.tell(Event{Kind: Agreed, FromServer: e.FromServer, Text: text})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// beyondClassic handles frames that classic ttrpc does not have.
func (s *session) beyondClassic(e Event, h wire.Header, data []byte) {
	if s.mode == midway && h.Type >= wire.TypePart && h.Type <= wire.TypeReturn && wire.CheckControl(h) == nil {
		s.mode = extended // only who has agreed sends such
	}
	if s.mode != extended || h.Type >= wire.TypeOptional || h.Type < wire.TypePart {
		s.control(e, "a frame of %s, which means nothing here", h.Type)
		return
	}
	if err := wire.CheckControl(h); err != nil {
		s.note(e.FromServer, "%v", err)
		return
	}
	at := place{e.FromServer, h.StreamID}
	switch h.Type {
	case wire.TypePart:
		s.part(e, at, h, data)
		return
	case wire.TypeFiles:
		n, _ := wire.ParseNumber(data)
		if m := s.beginning(at); m != nil {
			m.files += int(min(n, 1<<10))
		}
	case wire.TypeCancel:
		e.Kind, e.Status = Cancel, reason(data)
		s.tell(e)
		return
	case wire.TypeGoodbye:
		last, status, _ := wire.ParseGoodbye(data)
		e.Kind, e.Number, e.Status = Goodbye, last, reason(status)
		s.tell(e)
		return
	case wire.TypeMetadata:
		s.metadata(e, h, data)
		return
	}
	s.control(e, "%s", words(h, data))
}

// beginning returns the message that begins at a place, or nil if there are too many.
func (s *session) beginning(at place) *message {
	m := s.begun[at]
	if m == nil && len(s.begun) < maxStreams {
		m = new(message)
		s.begun[at] = m
	}
	return m
}

// part handles a piece of a message.
func (s *session) part(e Event, at place, h wire.Header, data []byte) {
	if h.Flags&wire.FlagReset != 0 {
		if m := s.begun[at]; m != nil {
			s.control(e, "a message was given up of which %d bytes have come", m.size)
		}
		s.forget(at)
		return
	}
	m := s.beginning(at)
	if m == nil {
		return
	}
	before := len(m.data)
	m.add(data, int(h.Length), min(s.config.MaxMessage, before+maxHeld-s.held))
	s.held += len(m.data) - before
}

// metadata handles that of an answer.
func (s *session) metadata(e Event, h wire.Header, data []byte) {
	_, err := wire.ParseRequest(data, func(key, value []byte) {
		e.Metadata = append(e.Metadata, wire.KeyValue{Key: string(key), Value: string(value)})
	})
	if err != nil {
		s.note(e.FromServer, "metadata on id %d that does not parse: %v", h.StreamID, err)
		return
	}
	e.Kind = Header
	if h.Flags&wire.FlagTrailer != 0 {
		e.Kind = Trailer
	}
	s.tell(e)
}

// reason returns why something is given up, with the details as they are.
func reason(data []byte) *spb.Status {
	st := new(spb.Status)
	if proto.Unmarshal(data, st) != nil {
		st.Reset()
		st.Code, st.Message = wire.ParseReason(data)
	}
	return st
}
