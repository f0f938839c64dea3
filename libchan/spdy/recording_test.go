// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"testing"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/libchan"
)

// A recording is what the two sides of a session of old peers have sent.
type recording struct{ client, server []wire.Frame }

// read reads testdata/NAME.txt: lines of "C" or "S", who has sent, and bytes in hex.
func read(t *testing.T, name string) recording {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var sides [2]bytes.Buffer
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		who, text, _ := strings.Cut(line, " ")
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		sides[strings.Index("CS", who)].Write(raw)
	}
	return recording{parse(t, sides[0].Bytes()), parse(t, sides[1].Bytes())}
}

// parse reads all frames in b.
func parse(t *testing.T, b []byte) (list []wire.Frame) {
	t.Helper()
	f, err := newFrames(readOnly{r: bytes.NewReader(b)}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := f.read()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, frame)
	}
}

// perStream returns what was sent on each stream, as text: the order of streams among each
// other is not determined, nor is how they are told how much room there is, nor what other
// headers jschan has. Data is joined, as borders of frames mean nothing at its end.
func perStream(list []wire.Frame) map[wire.StreamId]string {
	all := map[wire.StreamId]string{}
	for _, frame := range list {
		switch f := frame.(type) {
		case *wire.SynStreamFrame:
			all[f.StreamId] += fmt.Sprintf("open %d %d%s\n", f.AssociatedToStreamId, f.CFHeader.Flags, libchanHeaders(f.Headers))
		case *wire.SynReplyFrame:
			all[f.StreamId] += fmt.Sprintf("reply %d%s\n", f.CFHeader.Flags, libchanHeaders(f.Headers))
		case *wire.DataFrame:
			if len(f.Data) > 0 {
				all[f.StreamId] += fmt.Sprintf("data %x\n", f.Data)
			}
			if f.Flags != 0 {
				all[f.StreamId] += "end\n"
			}
		case *wire.RstStreamFrame:
			all[f.StreamId] += fmt.Sprintf("reset %d\n", f.Status)
		}
	}
	return all
}

func libchanHeaders(h http.Header) (text string) {
	var names []string
	for name := range h {
		switch name {
		case ":host", ":method", ":path", ":scheme":
		case ":version":
			if h.Get(":method") == "" {
				names = append(names, name)
			}
		default:
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		text += fmt.Sprintf(" %s=%q", strings.ToLower(name), h[name])
	}
	return text
}

// holds requires that a Transport sends what was recorded.
func (p *peer) holds(want []wire.Frame) {
	p.t.Helper()
	expected := perStream(want)
	got := map[wire.StreamId]string{}
	same := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		got = perStream(p.got)
		return reflect.DeepEqual(got, expected)
	}
	if p.until(same) {
		return
	}
	for id := range expected {
		if got[id] != expected[id] {
			p.t.Errorf("L11: on the stream %d was sent\n%swhere the recording has\n%s", id, got[id], expected[id])
		}
	}
	for id := range got {
		if expected[id] == "" {
			p.t.Errorf("L11: on the stream %d, which the recording does not have, was sent\n%s", id, got[id])
		}
	}
}

// play sends what was recorded of the other side.
func (p *peer) play(list []wire.Frame) {
	go p.send(list...)
}

// renamed returns frames in which streams have other ids, which are also their refs: which of
// the channels in a message is opened first is not determined.
func renamed(list []wire.Frame, ids map[wire.StreamId]wire.StreamId) []wire.Frame {
	id := func(id wire.StreamId) wire.StreamId {
		if to, ok := ids[id]; ok {
			return to
		}
		return id
	}
	var out []wire.Frame
	for _, frame := range list {
		switch f := frame.(type) {
		case *wire.SynStreamFrame:
			other := *f
			other.StreamId, other.Headers = id(f.StreamId), f.Headers.Clone()
			other.Headers.Set(headerRef, itoa(int(other.StreamId)))
			frame = &other
		case *wire.SynReplyFrame:
			frame = &wire.SynReplyFrame{CFHeader: f.CFHeader, StreamId: id(f.StreamId), Headers: f.Headers}
		case *wire.DataFrame:
			data := f.Data
			if f.StreamId == 1 { // messages that name channels
				data, _ = translate(f.Data, func(ext byte, payload []byte) (byte, []byte, bool, error) {
					payload = bytes.Clone(payload)
					last := len(payload) - 1
					payload[last] = byte(id(wire.StreamId(payload[last])))
					return ext, payload, true, nil
				})
			}
			frame = &wire.DataFrame{StreamId: id(f.StreamId), Flags: f.Flags, Data: data}
		}
		out = append(out, frame)
	}
	return out
}

// v010 is the message of that recording, and reply its answer.
type v010 struct {
	Bs    io.ReadWriteCloser `libchan:"bs"`
	Hello string             `libchan:"hello"`
	N     int                `libchan:"n"`
	Ret   libchan.Sender     `libchan:"ret"`
}

type reply struct {
	Ok   int
	Text string
}

// TestRecordedNested plays the session of v0.1.0's with channels in a message in both roles.
func TestRecordedNested(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		rec := read(t, "libchan-v0.1.0-nested")
		tr, p := newPeer(t, false)
		p.play(rec.client)
		r, err := tr.WaitReceiveChannel()
		if err != nil {
			t.Fatal(err)
		}
		var m v010
		receive(t, r, &m)
		if m.Hello != "from go" || m.N != 7 {
			t.Errorf("L11: received %+v", m)
		}
		send(t, m.Ret, reply{9, "from go"})
		buf := make([]byte, 12)
		within(t, func() { _, err = io.ReadFull(m.Bs, buf) })
		if err != nil || string(buf) != "ping from go" {
			t.Errorf("L11: read %q, %v", buf, err)
		}
		m.Bs.Write([]byte("bytes from go"))
		within(t, func() {
			if err := r.Receive(&m); err != io.EOF {
				t.Errorf("L11: after the last message: %v", err)
			}
		})
		p.holds(rec.server)
		runtime.KeepAlive(&m) // an end that is garbage is reset
	})
	t.Run("client", func(t *testing.T) {
		rec := read(t, "libchan-v0.1.0-nested")
		swap := map[wire.StreamId]wire.StreamId{3: 5, 5: 3}
		tr, p := newPeer(t, true)
		s, err := tr.NewSendChannel()
		if err != nil {
			t.Fatal(err)
		}
		answers, ret := libchan.Pipe()
		ours, bs := libchan.NewByteStream()
		ours.Write([]byte("ping from go"))
		send(t, s, v010{bs, "from go", 7, ret})
		await(p, "message", func(f *wire.DataFrame) bool { return f.StreamId == 1 })
		p.play(renamed(rec.server, swap))
		var m reply
		if receive(t, answers, &m); m != (reply{9, "from go"}) {
			t.Errorf("L11: received %+v", m)
		}
		buf := make([]byte, 13)
		within(t, func() { _, err = io.ReadFull(ours, buf) })
		if err != nil || string(buf) != "bytes from go" {
			t.Errorf("L11: read %q, %v", buf, err)
		}
		s.Close()
		p.holds(renamed(rec.client, swap))
		runtime.KeepAlive([]any{answers, ours})
	})
}

// TestRecordedTypes plays the session of v0.1.0's with values of all kinds in both roles. Its
// second message names the channel that it comes by, which was a fault, and its last came after
// the end.
func TestRecordedTypes(t *testing.T) {
	type sub struct {
		A int
		B []byte
	}
	type message struct {
		S    string
		Long string
		Neg  int
		F    float64
		Sub  sub
		P    *sub
		N    int
		U    uint16
		F32  float32
		Raw  []byte
		L    []string
		M    map[string]int
		D    int
		Nil  any
	}
	want := message{
		"x", "0123456789012345678901234567890123456789", -200, 1.5, sub{1, []byte("b")}, &sub{2, []byte{}}, 300, 65535, 2.5,
		[]byte("raw"), []string{"a"}, map[string]int{"k": 1}, 1e9, nil,
	}
	t.Run("server", func(t *testing.T) {
		rec := read(t, "libchan-v0.1.0-types")
		tr, p := newPeer(t, false)
		p.play(rec.client)
		r, err := tr.WaitReceiveChannel()
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if receive(t, r, &m); !reflect.DeepEqual(m, want) {
			t.Errorf("L11: received %+v, want %+v", m, want)
		}
		var second struct {
			L []libchan.Receiver `libchan:"l"`
		}
		receive(t, r, &second)
		within(t, func() {
			if err := second.L[0].Receive(&m); err == nil || !strings.Contains(err.Error(), "opened by itself") {
				t.Errorf("L11: Receive from a channel that was named by its own message: %v", err)
			}
			if err := r.Receive(&m); err != io.EOF {
				t.Errorf("L11: after the last message: %v", err)
			}
		})
		p.holds(rec.server)
	})
	t.Run("client", func(t *testing.T) {
		rec := read(t, "libchan-v0.1.0-types")
		tr, p := newPeer(t, true)
		s, err := tr.NewSendChannel()
		if err != nil {
			t.Fatal(err)
		}
		send(t, s, want)
		s.Close()
		p.play(rec.server)
		p.holds([]wire.Frame{rec.client[0], rec.client[1], rec.client[3]})
	})
}
