// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/containerd/ttrpc/internal/wire"
)

// An extModel is what one end in extended mode must do with what it is sent, as far as
// that can be said without knowing when it does it.
type extModel struct {
	role    role
	last    uint32           // the last id that the peer has used
	coming  map[uint32]bool  // ids whose requests have begun to come
	parts   map[uint32]int   // bytes that have come in parts, if any have
	paid    map[uint32]int   // what those were charged that calls pay for
	flags   map[uint32]uint8 // of the parts
	opens   map[uint32]int   // how many requests were accepted or refused for good
	loose   map[uint32]bool  // ids of which not all is known
	charged int              // what requests and answers cost
	served  uint32           // by the last goodbye
	parted  bool             // there was one
	broken  bool             // the connection must end
	unsure  bool             // it may
	unpaid  bool             // it is not known who has paid for what
}

func newExtModel(r role) extModel {
	m := extModel{role: r, coming: map[uint32]bool{}, parts: map[uint32]int{}, paid: map[uint32]int{}, flags: map[uint32]uint8{}, opens: map[uint32]int{}, loose: map[uint32]bool{}}
	if r == roleServer {
		m.last = 1
	}
	return m
}

// frame takes note of a frame that the end is sent.
func (m *extModel) frame(b []byte) {
	h, _ := parseHeader(b)
	id, n := h.StreamID, int(h.Length)
	if checkControl(h) != nil || h.Type == messageTypeFiles { // no feature
		m.broken = true
	}
	if n > maxFrameData && (isMessageType(h.Type) || h.Type == messageTypePart) { // it was not cut
		m.broken = true
	}
	if m.broken {
		return
	}
	switch h.Type {
	case messageTypePart:
		m.part(h)
	case messageTypeRequest, messageTypeResponse, messageTypeData:
		_, begun := m.parts[id]
		ofStream := h.Type == messageTypeData && h.Flags&flagNoData == 0 || h.Type == messageTypeResponse && h.Flags&flagStream != 0
		if begun && ofStream != (m.flags[id] != 0) {
			m.unsure, m.unpaid = true, true
		}
		n += m.parts[id]
		if payerOf(h.Type, h.Flags, chargeOf(n, 0), begun) == payCalls {
			m.charged += chargeOf(n, 0) - m.paid[id]
		}
		m.forget(id)
		m.message(h, n)
	case messageTypeCredit:
		credit, _ := wire.ParseNumber(b[messageHeaderLength:])
		m.broken = id == 0 && credit == 0
		m.unsure = m.unsure || credit == 0 || credit > 1<<30
	case messageTypeWant:
		m.unsure = true
	case messageTypeReturn:
		m.unsure = true // it may be more than the peer has
		if returned, err := wire.ParseNumber(b[messageHeaderLength:]); err == nil && id == 0 {
			m.charged += int(returned)
		}
	case messageTypeMetadata:
		_, err := parseRequest(b[messageHeaderLength:])
		m.broken = err != nil
	case messageTypeGoodbye:
		last, _, _ := wire.ParseGoodbye(b[messageHeaderLength:])
		m.broken = m.parted && last > m.served
		m.parted, m.served = true, last
	}
}

func (m *extModel) isPeers(id uint32) bool { return (id%2 == 1) == (m.role == roleServer) }

func (m *extModel) part(h messageHeader) {
	id := h.StreamID
	if h.Flags&flagReset != 0 {
		m.forget(id)
		delete(m.coming, id)
		return
	}
	_, begun := m.parts[id]
	if begun && m.flags[id] != h.Flags&flagStream {
		m.unsure, m.unpaid = true, true
	}
	m.flags[id] = h.Flags & flagStream
	m.parts[id] += int(h.Length)
	if h.Flags&flagStream != 0 {
		return
	}
	if m.paid[id] == 0 {
		m.paid[id], m.charged = messageCharge, m.charged+messageCharge
	}
	m.paid[id] += int(h.Length)
	m.charged += int(h.Length)
	if m.isPeers(id) && id > m.last {
		m.last = id
		m.coming[id] = true
		m.loose[id] = m.loose[id] || h.Length > extFuzzLimit
	}
}

// forget takes note that no parts of a message are left.
func (m *extModel) forget(id uint32) {
	delete(m.parts, id)
	delete(m.paid, id)
	delete(m.flags, id)
}

// message takes note of a message of n bytes.
func (m *extModel) message(h messageHeader, n int) {
	id := h.StreamID
	if !m.isPeers(id) {
		return
	}
	m.loose[id] = m.loose[id] || n > extFuzzLimit
	coming := m.coming[id]
	delete(m.coming, id)
	if h.Type == messageTypeRequest && (coming || id > m.last) {
		m.opens[id]++
		m.last = max(m.last, id)
	}
}

// begun returns the ids of messages that have come in part.
func (m *extModel) begun() []uint32 { return slices.Sorted(maps.Keys(m.parts)) }

// check compares what the end has sent, when all its streams have ended.
func (m *extModel) check(t *testing.T, c *conn, got []byte) {
	granted, terminals := 0, map[uint32]int{}
	sent := extJudge{role: m.role, last: 1, begun: map[uint32]bool{}, raw: true}
	for _, piece := range fuzzPieces(got) {
		h, _ := parseHeader(piece)
		if err := sent.frame(h); err != nil {
			t.Error(err)
		}
		switch {
		case h.Type == messageTypeCredit && h.StreamID == 0:
			n, _ := wire.ParseNumber(piece[messageHeaderLength:])
			granted += int(n)
		case bytes.Contains(piece, []byte(violationInactive)) || bytes.Contains(piece, []byte(violationReused)):
		case h.Type == messageTypeResponse || h.Type == messageTypeData && h.Flags&flagRemoteClosed != 0:
			terminals[h.StreamID]++
		}
	}
	if err := sent.over(); err != nil {
		t.Error(err)
	}
	for id, n := range terminals {
		if m.isPeers(id) && n != m.opens[id] && !m.loose[id] {
			t.Errorf("B47: %d terminal frames on id %d, and %d requests", n, id, m.opens[id])
		}
	}
	for id, n := range m.opens {
		if terminals[id] == 0 && !m.loose[id] {
			t.Errorf("B47: no terminal frame on id %d, and %d requests", id, n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := extOf(c).calls.recv
	if want := w.size + int64(granted-m.charged); w.room != want && !m.unpaid {
		t.Errorf("B48: the peer's credit is %d, and the end takes it for %d", want, w.room)
	}
	if w.held != 0 || w.size-w.room >= w.size/4 || w.wanted > 0 && w.wanted <= w.size && w.room != w.size {
		t.Errorf("B48: %d of %d are left, %d are held, and nothing is consumed any more", w.room, w.size, w.held)
	}
	if x := extOf(c); x.streams.used != 0 || x.wishes.over != nil || x.loose.over != nil || x.wishes.line.Len()+x.loose.line.Len()+x.granting.Len()+x.calls.line.Len() != 0 {
		t.Errorf("B48: without streams %d bytes are theirs, %d wait, %d in line", x.streams.used, x.wishes.line.Len(), x.calls.line.Len())
	}
}

// An extJudge holds that what an end sends keeps to the wire's rules.
type extJudge struct {
	role  role
	last  uint32          // of its own ids
	begun map[uint32]bool // messages that have left in part
	told  map[uint32]bool // ids of which a header or more has left
	raw   bool            // the peer may send data before the request has left
}

type wireError struct {
	rule string
	h    messageHeader
}

func (e *wireError) Error() string { return fmt.Sprintf("%s: %+v", e.rule, e.h) }

// frame takes note of a frame that the end sends.
func (j *extJudge) frame(h messageHeader) error {
	id := h.StreamID
	own := id != 0 && (id%2 == 1) == (j.role == roleClient)
	first := h.Type == messageTypeRequest || h.Type == messageTypePart || h.Type == messageTypeFiles
	switch {
	case checkControl(h) != nil || h.Type >= messageTypeOptional:
		return &wireError{"B56: a frame that is not allowed", h}
	case h.Length > partSize:
		return &wireError{"B49: a frame that was not cut", h}
	case own && id > j.last && !first && !(j.raw && h.Type == messageTypeCredit):
		return &wireError{"B50: an id that was never opened", h}
	case own && h.Type == messageTypeRequest && id <= j.last && !j.begun[id]:
		return &wireError{"B50: an id that does not rise", h}
	case h.Type == messageTypePart && h.Flags&flagReset != 0 && !j.begun[id]:
		return &wireError{"B49: a reset of nothing", h}
	}
	if h.Type == messageTypeMetadata {
		if own || h.Flags&flagTrailer == 0 && j.told[id] {
			return &wireError{"B58: metadata that must not come", h}
		}
		if j.told == nil {
			j.told = map[uint32]bool{}
		}
		j.told[id] = true
	}
	if own && first {
		j.last = max(j.last, id)
	}
	switch {
	case h.Type == messageTypePart && h.Flags&flagReset == 0, h.Type == messageTypeFiles:
		j.begun[id] = true
	case h.Type <= messageTypePart:
		delete(j.begun, id)
	}
	return nil
}

// over is called when nothing more is sent.
func (j *extJudge) over() error {
	for id := range j.begun {
		return &wireError{"B49: a message that was begun and neither finished nor reset", messageHeader{StreamID: id, Type: messageTypePart}}
	}
	return nil
}
