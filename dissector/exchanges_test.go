// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package dissector

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/pcapng"
	"github.com/containerd/ttrpc/internal/wire"
)

// An exchange is what passed on a connection.
type exchange struct {
	name   string
	frames []frame
}

// A frame is what a side has sent.
type frame struct {
	server bool
	b      []byte
}

// vectors returns the recorded exchanges of classic ttrpc.
func vectors(t *testing.T) (all []exchange) {
	t.Helper()
	b, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Name   string
		Frames []struct {
			From        string
			Stream      uint32
			Type, Flags uint8
			Data        string
		}
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	for _, x := range recorded {
		e := exchange{name: x.Name}
		for _, f := range x.Frames {
			data, err := hex.DecodeString(f.Data)
			if zeros, ok := strings.CutPrefix(f.Data, "zeros:"); ok {
				var n int
				n, err = strconv.Atoi(zeros)
				data = make([]byte, n)
			}
			if err != nil {
				t.Fatal(err)
			}
			e.frames = append(e.frames, frame{f.From == "server", wire.AppendFrame(nil, f.Stream, wire.Type(f.Type), f.Flags, data)})
		}
		all = append(all, e)
	}
	return all
}

// protocol returns the exchanges of PROTOCOL.md. Those of the chapters on extended mode
// and channels have an agreement before them, which PROTOCOL.md shows once.
func protocol(t *testing.T) (all []exchange) {
	t.Helper()
	b, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var hello []frame
	chapter, section, n := "", "", 0
	var e exchange
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "## "); ok {
			chapter, section, n = name, name, 0
		} else if name, ok := strings.CutPrefix(line, "### "); ok {
			section, n = name, 0
		}
		side, digits, ok := strings.Cut(line, "  ")
		if ok && (side == "C" || side == "S") {
			b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			e.frames = append(e.frames, frame{side == "S", b})
			continue
		}
		if len(e.frames) == 0 {
			continue
		}
		if section == "Agreement" {
			hello = e.frames
		}
		n++
		e.name = fmt.Sprintf("%s %d", section, n)
		extended := (chapter == "Extended mode" || chapter == "Channels") && section != "Agreement" && section != "What old peers see"
		if section == "A worked exchange" && n > 1 { // it goes on
			last := &all[len(all)-1]
			last.frames, n = append(last.frames, e.frames...), 1
		} else {
			if extended {
				e.frames = append(hello[:len(hello):len(hello)], e.frames...)
			}
			all = append(all, e)
		}
		e = exchange{}
	}
	return all
}

// start is when all captures begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A capture is one that is being written.
type capture struct {
	t    *testing.T
	file bytes.Buffer
	w    *pcapng.Writer
	port uint16
	n    int // packets that there are
	at   time.Time
}

func newCapture(t *testing.T) *capture {
	c := &capture{t: t, at: start}
	w, err := pcapng.NewWriter(&c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.w = w
	return c
}

// add writes a connection with what its sides have sent, a millisecond apart, and
// returns the numbers of their packets, of several the last. Each is cut into pieces of
// that length, or twenty; 0 is for one packet, if it fits.
func (c *capture) add(name string, frames []frame, length int) (numbers []int) {
	s := c.w.Conn(pcapng.Conn{Comment: name, Start: c.at, ServerPort: c.port})
	c.n += 3
	for _, f := range frames {
		c.at = c.at.Add(time.Millisecond)
		for piece := range pieces(f.b, length) {
			if err := s.Write(f.server, c.at, piece, ""); err != nil {
				c.t.Fatal(err)
			}
			const packet = 60 << 10 // the most that one has
			c.n += (len(piece) + packet - 1) / packet
		}
		numbers = append(numbers, c.n)
	}
	if err := s.Close(c.at); err != nil {
		c.t.Fatal(err)
	}
	c.n += 3
	return numbers
}

// pieces cuts b into pieces of that length, but no more than twenty. 0 is for one piece.
func pieces(b []byte, length int) iter.Seq[[]byte] {
	if length == 0 {
		length = len(b)
	}
	return slices.Chunk(b, max(length, len(b)/20, 1))
}
