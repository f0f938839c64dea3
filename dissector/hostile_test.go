// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/internal/wire"
)

// errorsOnly has tshark print what the dissectors complain of, which errors of theirs are
// among. It looks at the capture once: of two looks the first has no place for errors.
var errorsOnly = []string{"-T", "fields", "-e", "_ws.expert.message"}

// harm changes what passed on a connection: bytes, lengths, order, and what is there at
// all.
func harm(rng *rand.Rand, frames []frame) (out []frame) {
	for _, f := range frames {
		b := slices.Clone(f.b)
		switch rng.IntN(8) {
		case 0: // some other bytes
			for range rng.IntN(8) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
		case 1: // a byte of the header
			b[rng.IntN(10)] = byte(rng.Uint32())
		case 2: // another type
			b[8] = []byte{0, 1, 2, 3, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x80}[rng.IntN(15)]
		case 3:
			b = b[:rng.IntN(len(b))]
		case 4:
			b = append(b, b...)
		case 5:
			f.server = !f.server
		case 6: // other flags
			b[9] = byte(rng.Uint32())
		}
		if rng.IntN(20) > 0 {
			out = append(out, frame{f.server, b})
		}
	}
	return out
}

// noise returns what is no ttrpc, or looks like it at first.
func noise(rng *rand.Rand) (out []frame) {
	for range rng.IntN(5) {
		data := make([]byte, rng.IntN(300))
		for i := range data {
			if data[i] = byte(rng.Uint32()); rng.IntN(2) == 0 {
				data[i] &= 0x1f // tags and lengths of protobuf
			}
		}
		if rng.IntN(4) > 0 {
			typ := wire.Type([]byte{1, 1, 1, 2, 2, 3, 3, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48}[rng.IntN(16)])
			data = wire.AppendFrame(nil, uint32(rng.IntN(6)), typ, uint8(rng.IntN(8)), data)
		}
		out = append(out, frame{rng.IntN(2) == 0, data})
	}
	return out
}

// TestHostile has captures of what is damaged, cut or no ttrpc at all. There must be no
// error in the dissector, and what comes after is shown as ever.
func TestHostile(t *testing.T) {
	files, exchanges := all(t)
	every := slices.Concat(exchanges...)
	every = slices.DeleteFunc(every, func(e exchange) bool { return e.name == "raw/oversized" })
	rng := rand.New(rand.NewPCG(2, 3))
	c := newCapture(t)
	for n := range 3 * testkit.Times(t) * len(every) {
		frames := noise(rng)
		if n%4 > 0 {
			frames = harm(rng, every[n%len(every)].frames)
		}
		if n%3 == 0 {
			frames = inTrunk(exchange{frames: frames}, uint32(rng.IntN(3)), rng.IntN(100)).frames
			if n%2 == 0 {
				frames = harm(rng, slices.DeleteFunc(frames, func(f frame) bool { return len(f.b) < 10 }))
			}
		}
		c.port = uint16(7774 + n%2*5) // which no dissector has
		c.add(fmt.Sprint("harmed ", n), frames, rng.IntN(3)*7)
	}
	c.port = 0
	var packets [][]int
	for _, e := range every {
		packets = append(packets, c.add(e.name, e.frames, 0))
	}
	tshark(t, c.file.Bytes(), errorsOnly...)
	sameAsGolden(t, "after harm", files, every, packets, rows(t, c.file.Bytes()))
}

// TestBeyondProtobuf has messages that Wireshark's dissector for protobuf fails on, and takes that for
// a bug of its own: an error that passes Lua by, after which Wireshark crashes. That dissector must not
// be asked, and it must be told why.
func TestBeyondProtobuf(t *testing.T) {
	nested := func(levels int) []byte {
		b := []byte{0x10, 1} // proto3 leaves an empty one out
		for range levels {
			m, err := proto.Marshal(&wrapperspb.BytesValue{Value: b}) // is a vec.Nested as well
			if err != nil {
				t.Fatal(err)
			}
			b = m
		}
		return b
	}
	length := func(varint string) []byte { return []byte("\x4a" + varint + "abc") }
	many := bytes.Repeat([]byte{0x10, 1}, 49_000)
	details := &spb.Status{Code: 5}
	for range 5 {
		details.Details = append(details.Details, &anypb.Any{TypeUrl: "type.googleapis.com/vec.Text", Value: many})
	}
	failed, err := proto.Marshal(details)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		request []byte
		answer  []byte
		want    string // is told of it, or nothing is
	}{
		{"a length of 1 GiB", length("\x80\x80\x80\x80\x04"), nil, "a length of 1 GiB or more"},
		{"a length of 4 GiB less one", length("\xff\xff\xff\xff\x0f"), nil, "a length of 1 GiB or more"},
		{"such a length in a message", append([]byte{0x0a, 9}, length("\x80\x80\x80\x80\x08")...), nil, "a length of 1 GiB or more"},
		{"a length that is too large", length("\xff\xff\xff\xff\x03"), nil, ""},
		{"deep", nested(2000), nil, "more than 100 levels deep"},
		{"not deep", nested(50), nil, ""},
		{"many fields", bytes.Repeat(many, 5), nil, "more than 100,000 fields"},
		{"some fields", many, nil, ""},
		{"zeros", make([]byte, 1<<20), nil, "more than 100,000 fields"},
		{"zeros in a field", append([]byte("\x4a\x80\x80\x40"), make([]byte, 1<<20)...), nil, "more than 100,000 fields"},
		{"details of many fields", []byte(helloText), failed, "more than 100,000 fields"},
	} {
		s := &script{}
		s.request('C', 1, 0, "Nest", string(c.request))
		if c.answer != nil {
			s.say('S', 1, wire.TypeResponse, 0, string(wire.Response{Status: c.answer}.Append(nil)))
		}
		s.request('C', 3, 0, "Echo", helloText)
		capture := newCapture(t)
		capture.add(c.name, s.frames, 0)
		out := string(tshark(t, capture.file.Bytes(), "-V"))
		if c.want != "" && !strings.Contains(out, c.want) || c.want == "" && strings.Contains(out, "not shown as protobuf") {
			t.Errorf("B186: of %s it does not tell %q, or tells that it is not shown", c.name, c.want)
		}
		if !strings.Contains(out, "ttrpc, Request 3 vec.Echo/Echo") {
			t.Errorf("B186: after %s the next call is not shown", c.name)
		}
	}
}

// TestCutPackets has captures of which packets were cut, as tcpdump -s does it.
func TestCutPackets(t *testing.T) {
	_, exchanges := all(t)
	every := slices.Concat(exchanges...)
	c := newCapture(t)
	for i, e := range every {
		c.add(e.name, e.frames, 0)
		if i%2 == 0 {
			c.add(e.name, inTrunk(e, 1, 0).frames, 0)
		}
	}
	if _, err := exec.LookPath("editcap"); err != nil {
		tshark(t, c.file.Bytes()) // which is of the same package, and says so
	}
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	if err := os.WriteFile(whole, c.file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, length := range []string{"44", "53", "61", "70"} { // the headers have 40
		if out, err := exec.Command("editcap", "-s", length, whole, cut).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(cut)
		if err != nil {
			t.Fatal(err)
		}
		if out := tshark(t, b, errorsOnly...); length == "70" && !strings.Contains(string(out), "The capture lacks") {
			t.Errorf("B186: of packets that were cut to %s bytes nothing is told", length)
		}
	}
}
