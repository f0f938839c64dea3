// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
)

// Words says in words what a frame is, in one line without its end: what [ttrpc.Trace] is told
// of frames becomes readable by it. It can be called concurrently.
//
//	→ request, id 3, 25 bytes: /vec.Echo/Echo, a message of 7 bytes
func Words(f ttrpc.FrameInfo) string {
	h := wire.Header{Length: uint32(f.Length), StreamID: f.StreamID, Type: wire.Type(f.Type), Flags: f.Flags}
	arrow := "←"
	if f.Sent {
		arrow = "→"
	}
	return arrow + " " + words(h, f.Data)
}

// words says what a frame is, of whose data the first bytes are given.
func words(h wire.Header, data []byte) string {
	var b strings.Builder
	b.WriteString(h.Type.String())
	if h.StreamID != 0 || h.Type < wire.TypePart {
		fmt.Fprintf(&b, ", id %d", h.StreamID)
	}
	if flags := flagWords(h); flags != "" {
		b.WriteString(", " + flags)
	}
	if h.Length > 0 {
		fmt.Fprintf(&b, ", %d bytes", h.Length)
	}
	if what := dataWords(h, data); what != "" {
		b.WriteString(": " + what)
	}
	return b.String()
}

// flagNames are the names of the lowest three flags of a frame by its type.
var flagNames = map[wire.Type][3]string{
	wire.TypeRequest:  {"caller sends no data", "data follows", "no message"},
	wire.TypeResponse: {"", "by the stream's credit", "refused"},
	wire.TypeData:     {"end", "", "no message"},
	wire.TypePart:     {"reset", "by the stream's credit", ""},
	wire.TypeFiles:    {"", "by the stream's credit", ""},
	wire.TypeCredit:   {"as asked", "", ""},
	wire.TypeWant:     {"for the answer", "", ""},
	wire.TypePing:     {"answer", "", ""},
	wire.TypeMetadata: {"trailer", "", ""},
}

// flagWords names the flags that are set, and tells those that have no name as a number.
func flagWords(h wire.Header) string {
	var set []string
	rest := h.Flags
	for i, name := range flagNames[h.Type] {
		if bit := uint8(1) << i; h.Flags&bit != 0 && name != "" {
			set = append(set, name)
			rest &^= bit
		}
	}
	if rest != 0 {
		set = append(set, fmt.Sprintf("flags %#x", rest))
	}
	return strings.Join(set, ", ")
}

// dataWords says what is in the data of a frame, or "" if that is not to be told.
func dataWords(h wire.Header, data []byte) string {
	whole := len(data) == int(h.Length)
	switch h.Type {
	case wire.TypeRequest:
		return requestWords(data, whole)
	case wire.TypeResponse:
		if !whole {
			return ""
		}
		r, err := wire.ParseResponse(data)
		if err != nil {
			return "which does not parse"
		}
		if r.Status != nil {
			if code, text := wire.ParseReason(r.Status); code != 0 {
				return fmt.Sprintf("status %d, %q", code, text)
			}
		}
		return fmt.Sprintf("a message of %d bytes", len(r.Payload))
	case wire.TypeFiles, wire.TypeCredit, wire.TypeWant, wire.TypeReturn:
		n, err := wire.ParseNumber(data)
		if err != nil {
			return ""
		}
		return fmt.Sprint(n)
	case wire.TypeCancel:
		code, text := wire.ParseReason(data)
		return fmt.Sprintf("status %d, %q", code, text)
	case wire.TypeGoodbye:
		last, status, err := wire.ParseGoodbye(data)
		if err != nil {
			return ""
		}
		code, text := wire.ParseReason(status)
		return fmt.Sprintf("the last id is %d, status %d, %q", last, code, text)
	case wire.TypePing:
		return fmt.Sprintf("%x", data)
	case wire.TypeMetadata:
		return metadataWords(data)
	}
	return ""
}

func requestWords(data []byte, whole bool) string {
	if !whole {
		service, method := wire.FrontOfRequest(data)
		if len(service) == 0 {
			return ""
		}
		return printable("/" + name(service) + "/" + name(method))
	}
	entries := 0
	v, err := wire.ParseRequest(data, func(_, _ []byte) { entries++ })
	if err != nil {
		return "which does not parse"
	}
	what := fmt.Sprintf("%s, a message of %d bytes", printable("/"+name(v.Service)+"/"+name(v.Method)), len(v.Payload))
	if v.TimeoutNano != 0 {
		what += fmt.Sprintf(", timeout %v", time.Duration(v.TimeoutNano))
	}
	if entries > 0 {
		what += fmt.Sprintf(", %d of metadata", entries)
	}
	return what
}

func metadataWords(data []byte) string {
	var pairs []string
	_, err := wire.ParseRequest(data, func(key, value []byte) { pairs = append(pairs, fmt.Sprintf("%q: %q", key, value)) })
	if err != nil {
		return "which does not parse"
	}
	return strings.Join(pairs, ", ")
}

// printable returns text that moves no terminal: quoted, if it would.
func printable(s string) string {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\uFFFD' || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}
