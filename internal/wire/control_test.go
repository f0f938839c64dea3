// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// allowed is what PROTOCOL.md says of the headers of the extended mode. A type that
// is not here is unknown.
var allowed = map[Type]struct {
	stream, conn bool // it may be for a stream, for the connection
	least, most  uint32
}{
	TypePart:    {true, false, 0, math.MaxUint32},
	TypeFiles:   {true, false, 4, 4},
	TypeCancel:  {true, false, 0, 65536},
	TypeCredit:  {true, true, 4, 4},
	TypeWant:    {true, true, 4, 4},
	TypeReturn:  {true, true, 4, 4},
	TypePing:    {false, true, 8, 8},
	TypeGoodbye: {false, true, 4, 65536},

	TypeMetadata: {true, false, 0, 65536},
}

// TestCheckControl goes through all types with what is good and bad of the rest.
func TestCheckControl(t *testing.T) {
	for typ := range 256 {
		for _, id := range []uint32{0, 1, 2, math.MaxUint32} {
			for _, n := range []uint32{0, 1, 3, 4, 5, 7, 8, 9, 65535, 65536, 65537, MaxLength, math.MaxUint32} {
				for _, flags := range []uint8{0, 1, 2, 3, 0xff} {
					h := Header{n, id, Type(typ), flags}
					rule, known := allowed[h.Type]
					want := n >= rule.least && n <= rule.most && (id != 0 && rule.stream || id == 0 && rule.conn)
					switch {
					case h.Type == TypePart && flags&1 != 0:
						want = want && n == 0
					case !known:
						want = typ >= 0x80 || typ < 0x40 && id != 0
					}
					err := CheckControl(h)
					if (err == nil) != want {
						t.Errorf("B56: %+v: %v", h, err)
					}
					if text := fmt.Sprintf("a frame that extended mode does not allow: %v, id %d, flags %#x, %d bytes", h.Type, id, flags, n); err != nil && err.Error() != text {
						t.Errorf("B56: %v, want %s", err, text)
					}
				}
			}
		}
	}
}

// TestControlData holds the layouts, and cuts each at every byte.
func TestControlData(t *testing.T) {
	number := AppendNumber([]byte("x"), 0x01020304)
	if string(number) != "x\x01\x02\x03\x04" {
		t.Errorf("a number is % x", number)
	}
	goodbye := AppendGoodbye([]byte("x"), 0x01020304, []byte("why"))
	if string(goodbye) != "x\x01\x02\x03\x04why" {
		t.Errorf("B53: a goodbye is % x", goodbye)
	}
	goodbye = goodbye[1:]
	for n := range len(goodbye) + 1 {
		number, nerr := ParseNumber(goodbye[:n])
		last, status, gerr := ParseGoodbye(goodbye[:n])
		switch {
		case n < NumberLength && (nerr != io.ErrUnexpectedEOF || gerr != io.ErrUnexpectedEOF || number != 0 || last != 0 || status != nil):
			t.Errorf("B53: %d bytes are %d, %v, and %d, %q, %v", n, number, nerr, last, status, gerr)
		case n >= NumberLength && (nerr != nil || gerr != nil || number != 0x01020304 || last != number || string(status) != "why"[:n-NumberLength]):
			t.Errorf("B53: %d bytes are %d, %v, and %d, %q, %v", n, number, nerr, last, status, gerr)
		}
	}
}

// TestParseReason holds that of a status the code and a bounded text are kept, whatever
// else is in it.
func TestParseReason(t *testing.T) {
	details := bytes.Repeat([]byte{0x1a, 0}, 1000)
	for name, test := range map[string]struct {
		b       []byte
		code    int32
		message string
	}{
		"nothing":      {nil, 0, ""},
		"code":         {[]byte("\x08\x04"), 4, ""},
		"text":         {[]byte("\x08\x04\x12\x02no"), 4, "no"},
		"text alone":   {[]byte("\x12\x02no"), 0, "no"},
		"details":      {append([]byte("\x08\x04\x12\x02no"), details...), 4, "no"},
		"no status":    {[]byte("\x08\x04\x12\x09no"), 0, ""},
		"no text":      {[]byte("\x08\x04\x12\x01\xff"), 0, ""},
		"long":         {append([]byte("\x08\x04\x12\x84\x08"), bytes.Repeat([]byte("x"), 1028)...), 4, strings.Repeat("x", MaxReason)},
		"cut within ä": {append([]byte("\x08\x04\x12\x83\x08x"), bytes.Repeat([]byte("ä"), 513)...), 4, "x" + strings.Repeat("ä", 511)},
	} {
		if code, message := ParseReason(test.b); code != test.code || message != test.message {
			t.Errorf("%s: %d, %q; want %d, %q", name, code, message, test.code, test.message)
		}
	}
}
