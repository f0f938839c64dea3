// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/subject"
	"github.com/containerd/ttrpc/conformance/internal/vector"
	"github.com/containerd/ttrpc/internal/wire"
)

// send sends frames in one write; those with files in writes of their own.
func (s *session) send(frames []vector.Frame) error {
	var all []byte
	for i := range frames {
		f := &frames[i]
		if len(f.Files) > 0 {
			n := uint32(len(f.Files))
			announced := wire.AppendFrame(all, f.Stream, wire.TypeFiles, s.ofStream(f), wire.AppendNumber(nil, n))
			if err := writeFiles(s.link.conn, announced, f.Files); err != nil {
				return err
			}
			all = nil
		}
		b, err := s.encode(f)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return s.write(all)
}

// write writes as the case says: whole, cut or byte by byte.
func (s *session) write(b []byte) error {
	if s.first == 0 {
		s.first = len(b)
		if s.cut >= 0 {
			b = b[:s.cut]
		}
	}
	if err := s.link.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	if s.c.Split {
		for i := range b {
			if _, err := s.link.conn.Write(b[i : i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := s.link.conn.Write(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // the peer has closed, which is looked at where it matters
	}
	return err
}

// ofStream is the flag of parts and files whose message takes credit of its stream.
func (s *session) ofStream(f *vector.Frame) uint8 {
	if wire.Type(f.Type) == wire.TypeData || f.Flags.First()&wire.FlagStream != 0 && wire.Type(f.Type) == wire.TypeResponse {
		return wire.FlagStream
	}
	return 0
}

// encode makes the bytes of a frame and of its parts, and counts the credit.
func (s *session) encode(f *vector.Frame) ([]byte, error) {
	data, err := f.Wire(s.isAnswer(f.Stream, false))
	if err != nil {
		return nil, err
	}
	if f.Overdraw != 0 {
		size := s.link.credit(f.Stream) - overhead + f.Overdraw
		if size < 0 || size > maxExtended {
			return nil, Skip{fmt.Sprintf("the peer's window is too large or too small for this: %d", s.link.credit(f.Stream))}
		}
		data = make([]byte, size)
	}
	s.spend(f, len(data))
	var out []byte
	for _, n := range f.Part {
		out = wire.AppendFrame(out, f.Stream, wire.TypePart, s.ofStream(f), data[:n])
		data = data[n:]
	}
	if f.Length != nil {
		out = wire.AppendHeader(out, wire.Header{Length: uint32(*f.Length), StreamID: f.Stream, Type: wire.Type(f.Type), Flags: f.Flags.First()})
		return append(out, data...), nil
	}
	if f.Stream%2 == 1 && s.rawCalls() {
		s.link.highest = max(s.link.highest, f.Stream)
	}
	return wire.AppendFrame(out, f.Stream, wire.Type(f.Type), f.Flags.First(), data), nil
}

// spend counts credit that a message takes.
func (s *session) spend(f *vector.Frame, size int) {
	cost := uint64(size + overhead + len(f.Files)*fileCost)
	switch wire.Type(f.Type) {
	case wire.TypeRequest:
		s.link.spent[0] += cost
	case wire.TypeData:
		if f.Flags.First()&wire.FlagNoData == 0 {
			s.link.spent[f.Stream] += cost
		}
	}
}

// expect takes frames that have to come, on each stream in this order.
func (s *session) expect(frames []vector.Frame) error {
	for i := range frames {
		want := &frames[i]
		got, err := s.link.next(want.Stream, s.timeout)
		if err != nil {
			return fmt.Errorf("waiting for a %v on id %d: %w%s", want.Type, want.Stream, err, s.others())
		}
		if got.Type != wire.Type(want.Type) || !want.Flags.Has(got.Flags) {
			return fmt.Errorf("the peer has sent %v; expected was a %v with flags %v%s", got, want.Type, want.Flags, s.told(got))
		}
		if err := s.match(want, got); err != nil {
			return fmt.Errorf("of the %v on id %d: %w", want.Type, want.Stream, err)
		}
	}
	return nil
}

func (s *session) match(want *vector.Frame, got frame) error {
	if len(want.Part) > 0 && got.parts < len(want.Part) {
		return fmt.Errorf("it has come in %d parts, not in %d or more", got.parts, len(want.Part))
	}
	texts, err := readAll(got.files)
	if err != nil {
		return err
	}
	if !slices.Equal(texts, want.Files) {
		return fmt.Errorf("with it have come the files %q, not %q", texts, want.Files)
	}
	return want.Match(got.data, s.isAnswer(want.Stream, true))
}

// told says what an unexpected frame tells.
func (s *session) told(f frame) string {
	if f.Type != wire.TypeResponse {
		return ""
	}
	none := vector.Frame{Response: new(vector.Response)}
	if err := none.Match(f.data, true); err != nil {
		return ": " + err.Error()
	}
	return ""
}

// others says what has come instead.
func (s *session) others() string {
	if err := s.link.quiet(); err != nil {
		return "; " + err.Error()
	}
	return ""
}

// readAll reads what has come as descriptors.
func readAll(files []*os.File) ([]string, error) {
	var texts []string
	for _, f := range files {
		b, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(b))
	}
	return texts, nil
}

func (s *session) awaitCredit(c *vector.Credit) error {
	err := s.link.until(s.timeout, func() bool { return s.link.got[c.Stream] >= c.Min })
	if err != nil {
		return fmt.Errorf("the peer has given %d of credit on id %d, and not %d: %w", s.link.got[c.Stream], c.Stream, c.Min, err)
	}
	return nil
}

// ask wants credit of the peer, if there is too little.
func (s *session) ask(a *vector.Ask) error {
	cost := a.Size + overhead
	if s.link.credit(a.Stream) >= cost {
		return nil
	}
	want := wire.AppendFrame(nil, a.Stream, wire.TypeWant, 0, wire.AppendNumber(nil, uint32(cost)))
	if err := s.write(want); err != nil {
		return err
	}
	needs := s.link.got[a.Stream]
	if a.Stream == 0 && uint64(cost) > s.link.hello.ConnectionWindow/2 {
		needs += uint64(cost) // for it is given beyond the window
	}
	err := s.link.until(s.timeout, func() bool {
		return s.link.credit(a.Stream) >= cost && s.link.got[a.Stream] >= needs
	})
	if err != nil {
		return fmt.Errorf("credit of %d was asked for, and there is %d: %w", cost, s.link.credit(a.Stream), err)
	}
	if a.Stream == 0 {
		return s.write(wire.AppendFrame(nil, 0, wire.TypeWant, 0, wire.AppendNumber(nil, 0)))
	}
	return nil
}

const echo = `{"text":"alive"}`

// aliveSame sees whether the connection still works, and whether nothing has come that is not
// expected: the peer has handled all that was sent before.
func (s *session) aliveSame() error {
	var err error
	switch {
	case s.link.extended:
		err = s.ping()
	case s.rawCalls():
		err = s.echo()
	default:
		err = s.echoOfClient()
	}
	if err != nil {
		return fmt.Errorf("whether the connection works: %w", err)
	}
	return s.link.quiet()
}

func (s *session) ping() error {
	token := []byte("barrier!")
	if err := s.write(wire.AppendFrame(nil, 0, wire.TypePing, 0, token)); err != nil {
		return err
	}
	text := hex.EncodeToString(token)
	return s.expect([]vector.Frame{{Type: vector.Type(wire.TypePing), Flags: vector.Flags{int(wire.FlagAnswer)}, Hex: &text}})
}

// echo calls the server on the next id.
func (s *session) echo() error {
	id := uint32(1)
	if s.link.highest > 0 {
		id = s.link.highest + 2
	}
	request := vector.Frame{Stream: id, Type: vector.Type(wire.TypeRequest),
		Request: &vector.Request{Method: "Unary", Message: json.RawMessage(echo)}}
	answer := vector.Frame{Stream: id, Type: vector.Type(wire.TypeResponse),
		Response: &vector.Response{Message: json.RawMessage(echo)}}
	return cmp.Or(s.send([]vector.Frame{request}), s.expect([]vector.Frame{answer}))
}

// echoOfClient has the client make one more call on its connection.
func (s *session) echoOfClient() error {
	const id = 99
	call := &vector.Call{ID: id, Method: "Unary", Messages: []json.RawMessage{json.RawMessage(echo)}}
	if err := s.call(call); err != nil {
		return err
	}
	open := func() bool { return len(s.link.queues) > 0 }
	if err := s.link.until(s.timeout, open); err != nil {
		return err
	}
	for stream := range s.link.queues {
		request := vector.Frame{Stream: stream, Type: vector.Type(wire.TypeRequest),
			Request: &vector.Request{Method: "Unary", Message: json.RawMessage(echo)}}
		answer := vector.Frame{Stream: stream, Type: vector.Type(wire.TypeResponse),
			Response: &vector.Response{Message: json.RawMessage(echo)}}
		err := cmp.Or(s.expect([]vector.Frame{request}), s.send([]vector.Frame{answer}),
			s.result(&vector.Result{Of: id, Messages: call.Messages}))
		if err != nil {
			return err
		}
	}
	return nil
}

// aliveNew sees whether the peer still works, on a new connection.
func (s *session) aliveNew() error {
	alive := vector.Case{Level: s.c.Level, Peer: s.c.Peer, Steps: []vector.Step{{Alive: "same"}}}
	if !s.rawCalls() {
		alive.Level = "classic-unary"
		first := &vector.Call{ID: 1, Method: "Unary", Messages: []json.RawMessage{json.RawMessage(echo)}}
		request := vector.Frame{Stream: 1, Type: 1, Request: &vector.Request{Method: "Unary", Message: json.RawMessage(echo)}}
		answer := vector.Frame{Stream: 1, Type: 2, Response: &vector.Response{Message: json.RawMessage(echo)}}
		alive.Steps = []vector.Step{{Call: first}, {Expect: []vector.Frame{request}}, {Send: []vector.Frame{answer}},
			{Result: &vector.Result{Of: 1, Messages: first.Messages}}}
	}
	other := &session{c: &alive, server: s.server, client: s.client, timeout: s.timeout, cut: -1, wrap: s.wrap}
	if err := other.play(); err != nil {
		return fmt.Errorf("whether the peer works on a new connection: %w", err)
	}
	return nil
}

func matchResult(want *vector.Result, got subject.Result) error {
	if !want.Code.Has(got.Code) {
		return fmt.Errorf("the call has ended with code %d, %q; expected was %v", got.Code, got.Text, want.Code)
	}
	if want.Text != "" && !vector.Glob(want.Text, got.Text) {
		return fmt.Errorf("the call has the text %q, not %q", got.Text, want.Text)
	}
	if err := matchMessages(want, got); err != nil && !want.Partial {
		return err
	}
	if !slices.Equal(want.Files, got.Files) {
		return fmt.Errorf("the files %q have come, not %q", got.Files, want.Files)
	}
	err := errors.Join(vector.MatchPairs("header", want.Header, got.Header), vector.MatchPairs("trailer", want.Trailer, got.Trailer))
	if err != nil || want.Details == nil {
		return err
	}
	var details [][]byte
	for _, d := range got.Details {
		b, err := hex.DecodeString(d)
		if err != nil {
			return err
		}
		details = append(details, b)
	}
	return vector.MatchDetails(want.Details, details)
}

func matchMessages(want *vector.Result, got subject.Result) error {
	if len(got.Messages) != len(want.Messages) {
		return fmt.Errorf("%d messages have come, not %d", len(got.Messages), len(want.Messages))
	}
	for i, message := range got.Messages {
		b, err := hex.DecodeString(message)
		if err == nil {
			err = vector.MatchMessage(want.Messages[i], b, true, "")
		}
		if err != nil {
			return fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	return nil
}
