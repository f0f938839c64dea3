// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"io"
	"math"
	"testing"
)

func TestHeaderLayout(t *testing.T) {
	h := Header{Length: 0x11121314, StreamID: 0x01020304, Type: TypeData, Flags: FlagRemoteClosed | FlagNoData}
	want := []byte{0x11, 0x12, 0x13, 0x14, 1, 2, 3, 4, 3, 5}
	put := bytes.Repeat([]byte{0xff}, HeaderLength+1)
	h.Put(put)
	if !bytes.Equal(put[:HeaderLength], want) || put[HeaderLength] != 0xff {
		t.Errorf("B35: the header is % x, want % x", put, want)
	}
	if got := AppendHeader([]byte("x"), h); string(got) != "x"+string(want) {
		t.Errorf("B35: the header is % x, want % x", got, want)
	}
	for n := range HeaderLength {
		if got, err := ParseHeader(want[:n]); err != io.ErrUnexpectedEOF {
			t.Errorf("B35: a header of %d bytes is %+v, %v", n, got, err)
		}
	}
	if got, err := ParseHeader(append(want, "data"...)); err != nil || got != h {
		t.Errorf("B35: parsed %+v, %v, want %+v", got, err, h)
	}
}

// TestHeaderRoundTrip puts each value of each byte through.
func TestHeaderRoundTrip(t *testing.T) {
	for at := range HeaderLength {
		for value := range 256 {
			want := make([]byte, HeaderLength)
			want[at] = byte(value)
			h, err := ParseHeader(want)
			if got := AppendHeader(nil, h); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("B35: % x becomes %+v, %v, and that % x", want, h, err, got)
			}
		}
	}
}

func TestPutStreamID(t *testing.T) {
	frame := AppendFrame(nil, 1, TypeRequest, FlagRemoteOpen, []byte("data"))
	PutStreamID(frame, math.MaxUint32-1)
	if want := AppendFrame(nil, math.MaxUint32-1, TypeRequest, FlagRemoteOpen, []byte("data")); !bytes.Equal(frame, want) {
		t.Errorf("% x, want % x", frame, want)
	}
}

// TestFrames cuts frames of all types at every byte.
func TestFrames(t *testing.T) {
	status := []byte("\x08\x01\x12\x03why")
	for _, f := range []struct {
		h    Header
		data []byte
	}{
		{Header{0, 1, TypeRequest, 0}, nil},
		{Header{0, 1, TypeRequest, FlagRemoteOpen | FlagNoData}, Request{Service: "s", Method: "m"}.Append(nil)},
		{Header{0, 1, TypeResponse, 0}, Response{Payload: []byte("payload")}.Append(nil)},
		{Header{0, 3, TypeData, FlagRemoteClosed}, []byte("message")},
		{Header{0, 3, TypePart, 0}, []byte("piece")},
		{Header{0, 3, TypePart, FlagReset}, nil},
		{Header{0, 3, TypeFiles, 0}, AppendNumber(nil, 2)},
		{Header{0, 3, TypeCancel, 0}, status},
		{Header{0, 0, TypeCredit, 0}, AppendNumber(nil, math.MaxUint32)},
		{Header{0, 0, TypeCredit, FlagAsked}, AppendNumber(nil, 1)},
		{Header{0, 3, TypePart, FlagStream}, []byte("piece")},
		{Header{0, 3, TypeWant, 0}, AppendNumber(nil, 300)},
		{Header{0, 3, TypeReturn, 0}, AppendNumber(nil, 300)},
		{Header{0, 0, TypePing, FlagAnswer}, []byte("12345678")},
		{Header{0, 0, TypeGoodbye, 0}, AppendGoodbye(nil, 7, status)},
		{Header{0, 9, TypeOptional, 0xff}, []byte("?")},
	} {
		f.h.Length = uint32(len(f.data))
		wire := AppendFrame([]byte("before"), f.h.StreamID, f.h.Type, f.h.Flags, f.data)[len("before"):]
		if len(wire) != HeaderLength+len(f.data) {
			t.Errorf("%+v has %d bytes, and %d of data", f.h, len(wire), len(f.data))
		}
		for n := range wire {
			if h, data, rest, err := CutFrame(wire[:n]); err != io.ErrUnexpectedEOF || h != (Header{}) || data != nil || rest != nil {
				t.Errorf("B35: %d of %d bytes are %+v with %q, %q, %v", n, len(wire), h, data, rest, err)
			}
		}
		h, data, rest, err := CutFrame(append(wire, "after"...))
		if err != nil || h != f.h || !bytes.Equal(data, f.data) || string(rest) != "after" {
			t.Errorf("B35: %+v with %q becomes %+v with %q, %q, %v", f.h, f.data, h, data, rest, err)
		}
		if f.h.Type > TypeData {
			if err := CheckControl(h); err != nil {
				t.Errorf("B56: %v", err)
			}
		}
	}
	if _, _, _, err := CutFrame(AppendHeader(nil, Header{Length: math.MaxUint32})); err != io.ErrUnexpectedEOF {
		t.Errorf("a frame of 4 GiB in 10 bytes: %v", err)
	}
}

func TestTypeNames(t *testing.T) {
	for typ, want := range map[Type]string{
		0: "type 0x0", 1: "request", 2: "response", 3: "data", 4: "type 0x4",
		0x40: "part", 0x41: "files", 0x42: "cancel", 0x43: "credit", 0x44: "ping", 0x45: "goodbye", 0x46: "metadata", 0x47: "want", 0x48: "return", 0x49: "type 0x49", 0x80: "type 0x80",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%#x is called %q, want %q", uint8(typ), got, want)
		}
	}
}

// TestFrameAllocs holds that reading frames leaves nothing behind.
func TestFrameAllocs(t *testing.T) {
	b := AppendFrame(nil, 0, TypeGoodbye, 0, AppendGoodbye(nil, 7, nil))
	if n := testing.AllocsPerRun(100, func() {
		h, data, _, err := CutFrame(b)
		last, _, failed := ParseGoodbye(data)
		if err != nil || failed != nil || last != 7 || CheckControl(h) != nil {
			t.Fatal(h, last, err, failed)
		}
		h.Put(b)
		PutStreamID(b, 0)
	}); n > 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}
