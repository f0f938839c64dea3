// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

// A mode is what both ends have agreed on.
type mode uint8

const (
	classic  mode = iota
	asked         // the client has said Hello
	extended      // the server has answered it
	midway        // what came before the capture is not known
)

// A session is one connection of ttrpc: what its frames mean.
type session struct {
	config *Config
	trunk  uint32
	halves [2]half
	at     time.Time // of what is being handled
	alien  string    // what is spoken instead of ttrpc, once that is known

	mode    mode
	hello   wire.Hello // what the client has said
	streams map[uint32]*stream
	begun   map[place]*message // messages of which parts or files have come
	held    int                // bytes of parts in begun
	highest [2]uint32          // the highest id by which each side has called
	full    bool               // it was told that streams are forgotten
}

// A stream is a call that has not ended.
type stream struct {
	call   *Call
	closed bool // the caller sends no more
}

// A place is where parts are put together: a stream in one direction.
type place struct {
	fromServer bool
	id         uint32
}

// A message is one that has begun to come.
type message struct {
	data  []byte // the first of it that is kept
	size  int
	files int
}

func newSession(config *Config, trunk uint32) *session {
	s := &session{config: config, trunk: trunk, streams: make(map[uint32]*stream), begun: make(map[place]*message)}
	s.halves[1].fromServer = true
	if config.Midway {
		s.mode = midway
		for i := range s.halves {
			s.halves[i].search = search{lost: true, quiet: true}
		}
	}
	return s
}

func (c *Conn) sessions() []*session {
	var all []*session
	for _, number := range slices.Sorted(maps.Keys(c.open)) {
		all = append(all, c.open[number])
	}
	return all
}

func (s *session) tell(e Event) {
	e.At, e.Trunk = s.at, s.trunk
	s.config.Tell(e)
}

func (s *session) note(fromServer bool, format string, args ...any) {
	s.tell(Event{Kind: Note, FromServer: fromServer, Text: fmt.Sprintf(format, args...)})
}

func (s *session) control(e Event, format string, args ...any) {
	e.Kind, e.Text = Control, fmt.Sprintf(format, args...)
	s.tell(e)
}

// frame handles a frame, of whose data the first MaxMessage bytes are there.
func (s *session) frame(fromServer bool, h wire.Header, data []byte) {
	e := Event{FromServer: fromServer, StreamID: h.StreamID}
	if st := s.streams[h.StreamID]; st != nil {
		e.Call = st.call
	}
	if s.mode == midway && h.Type == wire.TypeRequest && h.StreamID == 1 {
		s.mode = classic // it was no middle, but the beginning
	}
	if s.config.Frames {
		e.Kind, e.Text = Frame, words(h, data)
		s.tell(e)
	}
	switch h.Type {
	case 0:
		if h == (wire.Header{}) && s.mode != extended {
			s.control(e, "ten zero bytes, which ask whether a server lives")
			return
		}
		s.beyondClassic(e, h, data)
	case wire.TypeRequest, wire.TypeResponse, wire.TypeData:
		m := s.whole(place{fromServer, h.StreamID}, h, data)
		switch h.Type {
		case wire.TypeRequest:
			s.request(e, h, m)
		case wire.TypeResponse:
			s.response(e, m)
		default:
			s.data(e, h, m)
		}
	default:
		s.beyondClassic(e, h, data)
	}
}

// whole returns a message with its last piece, which is the frame's.
func (s *session) whole(at place, h wire.Header, data []byte) *message {
	m := s.begun[at]
	if m == nil {
		return &message{data: data, size: int(h.Length)}
	}
	s.forget(at)
	m.add(data, int(h.Length), s.config.MaxMessage)
	return m
}

// add adds a piece, as far as there is room.
func (m *message) add(data []byte, size, limit int) {
	if len(m.data) == m.size {
		m.data = append(m.data, data[:min(len(data), max(0, limit-len(m.data)))]...)
	}
	m.size += size
}

func (m *message) cut() bool { return len(m.data) < m.size }

func (s *session) forget(at place) {
	if m := s.begun[at]; m != nil {
		s.held -= len(m.data)
		delete(s.begun, at)
	}
}

// request handles the begin of a call.
func (s *session) request(e Event, h wire.Header, m *message) {
	switch {
	case h.StreamID == 0 || s.mode == classic && h.StreamID%2 == 0:
		s.control(e, "a request on an id that no client may use")
		return
	case e.Call != nil:
		s.note(e.FromServer, "a request on id %d, which is in use", h.StreamID)
		return
	}
	call := &Call{StreamID: h.StreamID, FromServer: e.FromServer, Begun: s.at,
		Streams: h.Flags&(wire.FlagRemoteOpen|wire.FlagRemoteClosed) != 0, Sends: h.Flags&wire.FlagRemoteOpen != 0}
	var payload []byte
	var broken string
	if m.cut() {
		service, method := wire.FrontOfRequest(m.data)
		call.Service, call.Method = name(service), name(method)
	} else {
		v, err := wire.ParseRequest(m.data, func(key, value []byte) {
			e.Metadata = append(e.Metadata, wire.KeyValue{Key: string(key), Value: string(value)})
		})
		if err != nil {
			broken = fmt.Sprintf("a request on id %d that does not parse: %v", h.StreamID, err)
		}
		call.Service, call.Method = name(v.Service), name(v.Method)
		call.Timeout, payload = time.Duration(v.TimeoutNano), v.Payload
	}
	e.Kind, e.Call, e.Files = Begin, call, m.files
	e.HasMessage = !call.Sends || len(payload) > 0 || h.Flags&wire.FlagNoData == 0 && m.cut()
	e.keep(payload, m)
	s.remember(h.StreamID, &stream{call: call, closed: !call.Sends})
	s.tell(e)
	if broken != "" {
		s.note(e.FromServer, "%s", broken)
	}
	if s.mode == classic && h.StreamID == 1 && h.Flags == 0 && !m.cut() && wire.IsHello(m.data) {
		s.mode = asked
		s.hello, _ = wire.ParseHello(payload)
	}
}

// keep puts a message into an event, as a copy. A nil payload of a message that was cut stays.
func (e *Event) keep(payload []byte, m *message) {
	switch {
	case !e.HasMessage:
	case m.cut():
		e.Size = m.size
	default:
		e.Payload, e.Size = append([]byte{}, payload...), len(payload)
	}
}

// name returns what is kept of a name.
func name(b []byte) string {
	return strings.ToValidUTF8(string(b[:min(len(b), maxName)]), "\uFFFD")
}

// remember puts a stream into the table, and forgets another if there are too many.
func (s *session) remember(id uint32, st *stream) {
	if len(s.streams) >= maxStreams {
		for other := range s.streams {
			delete(s.streams, other)
			break
		}
		if !s.full {
			s.full = true
			s.note(st.call.FromServer, "more than %d calls are under way: of some the names will be missing", maxStreams)
		}
	}
	s.streams[id] = st
	at := side(st.call.FromServer)
	s.highest[at] = max(s.highest[at], id)
}

// response handles the end of a call by an answer or a status.
func (s *session) response(e Event, m *message) {
	e.Files = m.files
	var payload []byte
	if !m.cut() {
		r, err := wire.ParseResponse(m.data)
		st := new(spb.Status)
		if err == nil {
			err = proto.Unmarshal(r.Status, st)
		}
		if err != nil {
			s.note(e.FromServer, "a response on id %d that does not parse: %v", e.StreamID, err)
			st = &spb.Status{Code: 13, Message: "the response does not parse"}
		}
		if st.Code != 0 {
			e.Status = st
		}
		payload = r.Payload
	}
	e.HasMessage = e.Status == nil
	e.keep(payload, m)
	if !s.mine(&e) {
		return
	}
	e.Kind = Finish
	if s.mode == asked && e.StreamID == 1 {
		s.agree(e)
		return
	}
	delete(s.streams, e.StreamID)
	s.tell(e)
}

// mine tells whether a response, or data that ends a stream, is from the callee. If not, that
// is told.
func (s *session) mine(e *Event) bool {
	switch {
	case e.Call != nil && e.Call.FromServer == e.FromServer:
		s.note(e.FromServer, "a response on id %d by who made that call", e.StreamID)
		return false
	case e.Call == nil && e.Status == nil && s.late(e):
		s.control(*e, "a response for a call that has ended")
		return false
	}
	return true
}

// late tells whether an event is for a stream that was known, and has ended. Answers to what
// was refused, on ids that cannot be used, are none.
func (s *session) late(e *Event) bool {
	if s.mode == midway || s.full || e.StreamID == 0 {
		return false
	}
	for _, highest := range s.highest {
		if highest%2 == e.StreamID%2 && e.StreamID <= highest {
			return true
		}
	}
	return false
}

// data handles a message of a stream, or the end of one side.
func (s *session) data(e Event, h wire.Header, m *message) {
	e.Files = m.files
	e.HasMessage = h.Flags&wire.FlagNoData == 0
	e.keep(m.data, m)
	fromCaller := s.fromCaller(&e)
	if e.HasMessage {
		e.Kind = Message
		s.tell(e)
	}
	if h.Flags&wire.FlagRemoteClosed == 0 {
		if !e.HasMessage {
			s.control(e, "data without a message, which means nothing")
		}
		return
	}
	e = Event{FromServer: e.FromServer, StreamID: e.StreamID, Call: e.Call}
	if fromCaller {
		e.Kind = HalfEnd
		if st := s.streams[e.StreamID]; st != nil {
			st.closed = true
		}
		s.tell(e)
		return
	}
	e.Kind = Finish
	if s.mine(&e) {
		delete(s.streams, e.StreamID)
		s.tell(e)
	}
}

// fromCaller tells whether data is sent by who opened its stream. Of streams that are not known
// the id tells: who dialled has the odd ones, unless calls go the other way alone, as on one
// of the connections of NRI's trunk.
func (s *session) fromCaller(e *Event) bool {
	if e.Call != nil {
		return e.Call.FromServer == e.FromServer
	}
	odd := e.StreamID%2 == 1
	turned := s.highest[1]%2 == 1 || s.trunk == PluginService
	return e.FromServer == (odd == turned)
}

// lose tells of the calls that are under way when the connection ends.
func (s *session) lose() {
	for _, id := range slices.Sorted(maps.Keys(s.streams)) {
		call := s.streams[id].call
		s.tell(Event{Kind: Lost, FromServer: !call.FromServer, StreamID: id, Call: call})
	}
	clear(s.streams)
	clear(s.begun)
}
