// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A piece is what was written at once.
type piece struct {
	fromServer bool
	data       []byte
}

func c(hexadecimal string) piece { return piece{false, unhex(hexadecimal)} }
func s(hexadecimal string) piece { return piece{true, unhex(hexadecimal)} }

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// look watches some pieces, and returns what is told of them in lines.
func look(config watch.Config, pieces []piece) []string {
	var events []watch.Event
	config.Tell = func(e watch.Event) { events = append(events, e) }
	w := watch.New(config)
	for _, p := range pieces {
		b := slices.Clone(p.data)
		w.Write(p.fromServer, began, b)
		for i := range b {
			b[i] = 0xee // the memory is the caller's again
		}
	}
	w.End(false, began)
	w.End(true, began)
	w.Close(began)
	var told []string
	for _, e := range events {
		told = append(told, line(e))
	}
	return told
}

// line is all that there is in an event.
func line(e watch.Event) string {
	var b strings.Builder
	arrow := "→"
	if e.FromServer {
		arrow = "←"
	}
	if e.Trunk != 0 {
		fmt.Fprintf(&b, "%d ", e.Trunk)
	}
	fmt.Fprintf(&b, "%s %d %v", arrow, e.StreamID, e.Kind)
	if m := e.Call.FullMethod(); m != "" {
		b.WriteString(" " + m)
	}
	if e.Kind == watch.Begin {
		fmt.Fprintf(&b, " streams=%v sends=%v", e.Call.Streams, e.Call.Sends)
		if e.Call.Timeout != 0 {
			fmt.Fprintf(&b, " timeout=%v", e.Call.Timeout)
		}
	}
	switch {
	case e.Cut():
		fmt.Fprintf(&b, " cut=%d", e.Size)
	case e.HasMessage:
		fmt.Fprintf(&b, " [%x]", e.Payload)
	}
	if e.Files > 0 {
		fmt.Fprintf(&b, " files=%d", e.Files)
	}
	for _, kv := range e.Metadata {
		fmt.Fprintf(&b, " %s=%s", kv.Key, kv.Value)
	}
	if e.Status != nil {
		fmt.Fprintf(&b, " status=%d %q details=%d", e.Status.Code, e.Status.Message, len(e.Status.Details))
	}
	if e.Number != 0 {
		fmt.Fprintf(&b, " number=%d", e.Number)
	}
	if e.Text != "" {
		b.WriteString(" " + e.Text)
	}
	return b.String()
}

func want(t *testing.T, what string, got []string, lines ...string) {
	t.Helper()
	if !slices.Equal(got, lines) {
		t.Errorf("B178: %s: told is\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

// cuts returns the same bytes in other pieces: cut in two at each byte, and each byte alone.
func cuts(pieces []piece) (all [][]piece) {
	for i, p := range pieces {
		for n := 1; n < len(p.data); n++ {
			cut := slices.Clone(pieces[:i])
			cut = append(cut, piece{p.fromServer, p.data[:n]}, piece{p.fromServer, p.data[n:]})
			all = append(all, append(cut, pieces[i+1:]...))
		}
	}
	return append(all, bytewise(pieces))
}

func bytewise(pieces []piece) (single []piece) {
	for _, p := range pieces {
		for i := range p.data {
			single = append(single, piece{p.fromServer, p.data[i : i+1]})
		}
	}
	return single
}

// wantCut requires lines for pieces, however these are cut.
func wantCut(t *testing.T, what string, config watch.Config, pieces []piece, lines ...string) {
	t.Helper()
	want(t, what, look(config, pieces), lines...)
	for i, cut := range cuts(pieces) {
		if want(t, fmt.Sprintf("%s, cut %d", what, i), look(config, cut), lines...); t.Failed() {
			return
		}
	}
}

// TestClassic goes through what PROTOCOL.md has as examples of classic exchanges.
func TestClassic(t *testing.T) {
	wantCut(t, "a call", watch.Config{}, []piece{
		c("00000019 00000001 01 00  0a087665632e4563686f12044563686f1a070a0568656c6c6f"),
		s("00000009 00000001 02 00  12070a0568656c6c6f"),
	},
		"→ 1 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"← 1 finish /vec.Echo/Echo [0a0568656c6c6f]")
	wantCut(t, "empty messages, and a status", watch.Config{}, []piece{
		c("00000011 00000001 01 00  0a087665632e4563686f1205456d707479"),
		s("00000000 00000001 02 00"),
		c("00000014 00000003 01 00  0a087665632e4563686f12084e6f744578697374"),
		s("00000019 00000003 02 00  0a170805121366696c6520646f6573206e6f74206578697374"),
	},
		"→ 1 begin /vec.Echo/Empty streams=false sends=false []",
		"← 1 finish /vec.Echo/Empty []",
		"→ 3 begin /vec.Echo/NotExist streams=false sends=false []",
		`← 3 finish /vec.Echo/NotExist status=5 "file does not exist" details=0`)
	wantCut(t, "a probe", watch.Config{}, []piece{
		c("00000000 00000000 00 00"),
		s("00000037 00000000 02 00  0a350803123153747265616d4944206d757374206265206f646420666f7220636c69656e7420696e697469617465642073747265616d73"),
	},
		"→ 0 control ten zero bytes, which ask whether a server lives",
		`← 0 finish status=3 "StreamID must be odd for client initiated streams" details=0`)
	wantCut(t, "metadata, a deadline and details", watch.Config{}, []piece{
		c("00000027 00000001 01 00  0a087665632e4563686f12044d6574611a030a016b2a070a016b120276312a070a016b12027632"),
		c("0000001e 00000003 01 00  0a087665632e4563686f120b486173446561646c696e652080b09dc2df01"),
		s("0000004a 00000001 02 00  0a48080912076e6f74206e6f771a3b0a2f747970652e676f6f676c65617069732e636f6d2f676f6f676c652e70726f746f6275662e537472696e6756616c756512080a0664657461696c"),
	},
		"→ 1 begin /vec.Echo/Meta streams=false sends=false [0a016b] k=v1 k=v2",
		"→ 3 begin /vec.Echo/HasDeadline streams=false sends=false timeout=1m0s []",
		`← 1 finish /vec.Echo/Meta status=9 "not now" details=1`,
		"← 3 lost /vec.Echo/HasDeadline")
}

// TestRecorded goes through all exchanges that were recorded of v1.2.10, whole and cut
// everywhere, and compares what is told with what the frames say by themselves.
func TestRecorded(t *testing.T) {
	text, err := os.ReadFile("../../../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Name   string
		Frames []struct {
			From   string
			Stream uint32
			Type   wire.Type
			Flags  uint8
			Data   string
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, exchange := range all {
		var pieces []piece
		var large bool
		begins, finishes := 0, 0
		for _, f := range exchange.Frames {
			var data []byte
			if n, ok := strings.CutPrefix(f.Data, "zeros:"); ok {
				size, _ := strconv.Atoi(n)
				data, large = make([]byte, size), true
			} else {
				data = unhex(f.Data)
			}
			pieces = append(pieces, piece{f.From == "server", wire.AppendFrame(nil, f.Stream, f.Type, f.Flags, data)})
			large = large || len(data) > 1000
			if f.Type == wire.TypeRequest && f.Stream%2 == 1 && f.From == "client" {
				begins++
			}
			if f.From == "server" && (f.Type == wire.TypeResponse || f.Flags&wire.FlagRemoteClosed != 0) {
				finishes++
			}
		}
		told := look(watch.Config{}, pieces)
		count := func(what string) (n int) {
			for _, line := range told {
				if fields := strings.Fields(line); fields[2] == what {
					n++
				}
			}
			return n
		}
		if in := count("note"); !strings.HasPrefix(exchange.Name, "raw/") && (count("begin") != begins || count("finish") != finishes || in != 0) {
			t.Errorf("B178: %s has %d begins and %d ends, and told is:\n  %s", exchange.Name, begins, finishes, strings.Join(told, "\n  "))
		}
		if !large {
			wantCut(t, exchange.Name, watch.Config{}, pieces, told...)
		}
	}
}
