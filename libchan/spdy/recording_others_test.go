// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bytes"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/libchan"
)

// js is the message of jschan's recording.
type js struct {
	Hello string
	N     int
	F     float32 `libchan:"f"`
	Neg   int     `libchan:"neg"`
	Nul   any     `libchan:"nul"`
	Yes   bool    `libchan:"yes"`
	Arr   []any   `libchan:"arr"`
	Buf   []byte  `libchan:"buf"`
	Ret   libchan.Sender
	BS    io.ReadWriteCloser
	In    libchan.Receiver
}

// TestRecordedJschan plays the session of jschan's in both roles.
func TestRecordedJschan(t *testing.T) {
	want := js{"from js", 7, 1.5, -3, nil, true, []any{int64(1), "two"}, []byte("raw"), nil, nil, nil}
	rec := read(t, "jschan-0.2.1-nested")
	t.Run("server", func(t *testing.T) {
		tr, p := newPeer(t, false)
		p.play(rec.client)
		r, err := tr.WaitReceiveChannel()
		if err != nil {
			t.Fatal(err)
		}
		var m js
		receive(t, r, &m)
		send(t, m.Ret, reply{9, "from go"})
		var nested struct {
			Nested int `libchan:"nested"`
		}
		receive(t, m.In, &nested)
		if _, err := m.BS.Write([]byte("bytes from go")); err != nil {
			t.Errorf("L11: Write: %v", err)
		}
		within(t, func() {
			all, err := io.ReadAll(m.BS)
			if err != nil || string(all) != "ping from js" {
				t.Errorf("L11: read %q, %v", all, err)
			}
			m.BS.Close()
			for _, r := range []libchan.Receiver{r, m.In} {
				if err := r.Receive(new(any)); err != io.EOF {
					t.Errorf("L11: after the last message: %v", err)
				}
			}
		})
		p.holds(rec.server)
		m.Ret, m.BS, m.In = nil, nil, nil
		if !reflect.DeepEqual(m, want) || nested.Nested != 1 {
			t.Errorf("L11: received %+v and %+v, want %+v", m, nested, want)
		}
	})
	t.Run("client", func(t *testing.T) {
		tr, p := newPeer(t, true)
		s, err := tr.NewSendChannel()
		if err != nil {
			t.Fatal(err)
		}
		m := want
		answers, ret := libchan.Pipe()
		in, out := libchan.Pipe()
		ours, bs := libchan.NewByteStream()
		m.Ret, m.BS, m.In = ret, bs, in
		send(t, s, m)
		ours.Write([]byte("ping from js"))
		ours.CloseWrite()
		send(t, out, map[string]int{"nested": 1})
		out.Close()
		s.Close()
		await(p, "message", func(f *wire.DataFrame) bool { return f.StreamId == 1 })
		p.play(rec.server)
		var got reply
		if receive(t, answers, &got); got != (reply{9, "from go"}) {
			t.Errorf("L11: received %+v", got)
		}
		within(t, func() {
			all, err := io.ReadAll(ours)
			if err != nil || string(all) != "bytes from go" {
				t.Errorf("L11: read %q, %v", all, err)
			}
		})
		p.holds(asOfGo(rec.client))
		runtime.KeepAlive(ours)
	})
}

// asOfGo returns jschan's frames as v0.1.0 would have sent them: it names the stream of the
// parent, and has no header for none.
func asOfGo(list []wire.Frame) (out []wire.Frame) {
	for _, frame := range list {
		if f, ok := frame.(*wire.SynStreamFrame); ok {
			other := open(int(f.StreamId), headerRef, f.Headers.Get(headerRef))
			switch parent := f.Headers.Get(headerParent); parent {
			case "":
			case "1":
				other.AssociatedToStreamId = 1
				fallthrough
			default:
				other.Headers.Set(headerParent, parent)
			}
			frame = other
		}
		out = append(out, frame)
	}
	return out
}

type mainSub struct {
	A int
	B []byte
}

// mainMessage is the message of the recording of the last main. T and TV were times, which that
// could not send in a struct.
type mainMessage struct {
	Hello string
	Neg   int
	F     float64
	Raw   []byte
	T     struct{}
	RO    io.Reader
	N     int
	Sub   mainSub
	PSub  *mainSub
	M     map[string]int
	D     int
	Ret   libchan.Sender
	BS    io.ReadWriteCloser
	U     uint8
	L     []string
	TV    struct{}
	Nil   any
	WO    io.Writer
	F32   float64
	In    libchan.Receiver
}

// TestRecordedMain plays the session of the last main's in both roles.
func TestRecordedMain(t *testing.T) {
	rec := read(t, "libchan-main-types")
	want := mainMessage{
		Hello: "main", Neg: -5, F: 1.5, Raw: []byte("raw"), N: 300, Sub: mainSub{1, []byte("x")}, PSub: &mainSub{2, nil},
		M: map[string]int{"k": 1}, D: 1e9, U: 200, L: []string{"a"}, F32: 2.5,
	}
	t.Run("server", func(t *testing.T) {
		tr, p := newPeer(t, false, WithDialect(Main))
		p.play(rec.client)
		r, err := tr.WaitReceiveChannel()
		if err != nil {
			t.Fatal(err)
		}
		var m mainMessage
		receive(t, r, &m)
		all, err := io.ReadAll(m.RO)
		if err != nil || string(all) != "read only data" {
			t.Errorf("L11: read %q, %v", all, err)
		}
		var rest [3]any
		for i := range rest {
			receive(t, r, &rest[i])
		}
		if want := [3]any{"just a string", int64(42), []any{int64(1), int64(2)}}; !reflect.DeepEqual(rest, want) {
			t.Errorf("L11: received %v, want %v", rest, want)
		}
		within(t, func() {
			if err := r.Receive(new(any)); err != io.EOF {
				t.Errorf("L11: after the last message: %v", err)
			}
		})
		for _, s := range []any{m.Ret, m.BS, m.WO, m.In} {
			if s == nil {
				t.Errorf("L11: an end is missing: %+v", m)
			}
		}
		p.holds(rec.server)
		m.RO, m.Ret, m.BS, m.WO, m.In = nil, nil, nil, nil, nil
		if !reflect.DeepEqual(m, want) {
			t.Errorf("L11: received %+v, want %+v", m, want)
		}
	})
	t.Run("client", func(t *testing.T) {
		tr, p := newPeer(t, true, WithDialect(Main))
		s, err := tr.NewSendChannel()
		if err != nil {
			t.Fatal(err)
		}
		answers, ret := libchan.Pipe()
		in, out := libchan.Pipe()
		ours, bs := libchan.NewByteStream()
		theirs, wo := libchan.NewByteStream()
		m := want
		m.RO, m.Ret, m.BS, m.WO, m.In = strings.NewReader("read only data"), ret, bs, wo, in
		send(t, s, m)
		send(t, s, "just a string")
		send(t, s, 42)
		send(t, s, []int{1, 2})
		s.Close()
		p.play(rec.server)
		p.holds(unsigned(rec.client))
		runtime.KeepAlive([]any{answers, out, ours, theirs})
	})
}

// unsigned returns frames in which numbers have the form that this package gives them: main
// wrote some that are not negative as signed ones.
func unsigned(list []wire.Frame) []wire.Frame {
	for _, frame := range list {
		if f, ok := frame.(*wire.DataFrame); ok && len(f.Data) > 100 {
			f.Data = bytes.Replace(f.Data, []byte("\xd1\x01\x2c"), []byte("\xcd\x01\x2c"), 1)
			f.Data = bytes.Replace(f.Data, []byte("\xd2\x3b\x9a"), []byte("\xce\x3b\x9a"), 1)
		}
	}
	return list
}
