// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/wire"
)

// agreed is how a connection becomes one of the extended mode.
var agreed = []piece{
	c("00000041 00000001 01 00  0a1e74747270632e657874656e73696f6e732e76312e436f6e6e656374696f6e120548656c6c6f1a180801120566696c6573188080800820803028808080043001"),
	s("0000001a 00000001 02 00  12180801120566696c6573188080800220803028808080043001"),
}

var agreedLines = []string{
	"→ 1 begin /ttrpc.extensions.v1.Connection/Hello streams=false sends=false [0801120566696c6573188080800820803028808080043001]",
	"← 1 finish /ttrpc.extensions.v1.Connection/Hello [0801120566696c6573188080800220803028808080043001]",
	"← 0 agreed extended mode, version 1, features: files; messages of up to 4194304 bytes",
}

func wantExtended(t *testing.T, what string, pieces []piece, lines ...string) {
	t.Helper()
	wantCut(t, what, watch.Config{}, append(slices.Clone(agreed), pieces...), append(slices.Clone(agreedLines), lines...)...)
}

// TestExtended goes through what PROTOCOL.md has as examples of the extended mode.
func TestExtended(t *testing.T) {
	wantExtended(t, "a handler that calls back", []piece{
		c("00000019 00000003 01 00  0a087665632e4563686f12044563686f1a070a0568656c6c6f"),
		s("00000011 00000002 01 00  0a087665632e4563686f1205456d707479"),
		c("00000000 00000002 02 00"),
		s("00000009 00000003 02 00  12070a0568656c6c6f"),
	},
		"→ 3 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"← 2 begin /vec.Echo/Empty streams=false sends=false []",
		"→ 2 finish /vec.Echo/Empty []",
		"← 3 finish /vec.Echo/Echo [0a0568656c6c6f]")
	wantExtended(t, "parts, and one that is given up", []piece{
		c("00000010 00000003 40 00  0a087665632e4563686f12044563686f"),
		c("00000011 00000005 01 00  0a087665632e4563686f1205456d707479"),
		c("00000009 00000003 01 00  1a070a0568656c6c6f"),
		s("00000000 00000005 02 00"),
		s("00000009 00000003 02 00  12070a0568656c6c6f"),
		c("00000010 00000007 40 00  0a087665632e4563686f12044563686f"),
		c("00000000 00000007 40 01"),
	},
		"→ 5 begin /vec.Echo/Empty streams=false sends=false []",
		"→ 3 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"← 5 finish /vec.Echo/Empty []",
		"← 3 finish /vec.Echo/Echo [0a0568656c6c6f]",
		"→ 7 control a message was given up of which 16 bytes have come")
	wantExtended(t, "files, a cancel and a goodbye", []piece{
		c("00000004 00000003 41 00  00000002"),
		c("00000019 00000003 01 00  0a087665632e4563686f12044563686f1a070a0568656c6c6f"),
		c("00000010 00000005 01 06  0a087665632e4563686f120442696469"),
		c("00000014 00000005 42 00  08011210636f6e746578742063616e63656c6564"),
		s("00000016 00000005 02 00  0a1408011210636f6e746578742063616e63656c6564"),
		s("00000021 00000000 45 00  00000005080e12197468652070656572206973207368757474696e6720646f776e"),
	},
		"→ 3 control files, id 3, 4 bytes: 2",
		"→ 3 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f] files=2",
		"→ 5 begin /vec.Echo/Bidi streams=true sends=true",
		`→ 5 cancel /vec.Echo/Bidi status=1 "context canceled" details=0`,
		`← 5 finish /vec.Echo/Bidi status=1 "context canceled" details=0`,
		`← 0 goodbye status=14 "the peer is shutting down" details=0 number=5`,
		"← 3 lost /vec.Echo/Echo")
	wantExtended(t, "metadata of an answer, pings and credit", []piece{
		c("0000000e 00000007 01 06  0a046d657461120653747265616d"),
		s("00000008 00000007 46 00  2a060a016b120176"),
		s("00000003 00000007 03 00  0a016d"),
		s("00000008 00000007 46 01  2a060a0174120131"),
		s("00000000 00000007 03 05"),
		c("00000008 00000000 44 00  0000000000000001"),
		s("00000008 00000000 44 01  0000000000000001"),
		c("00000004 00000003 47 00  000187a0"),
		s("00000004 00000003 43 01  00017458"),
	},
		"→ 7 begin /meta/Stream streams=true sends=true",
		"← 7 header /meta/Stream k=v",
		"← 7 message /meta/Stream [0a016d]",
		"← 7 trailer /meta/Stream t=1",
		"← 7 finish /meta/Stream",
		"→ 0 control ping, 8 bytes: 0000000000000001",
		"← 0 control ping, answer, 8 bytes: 0000000000000001",
		"→ 3 control want, id 3, 4 bytes: 100256",
		"← 3 control credit, id 3, as asked, 4 bytes: 95320")
}

// TestClassicHasNoMore holds that frames of the extended mode mean nothing before it was
// agreed on, nor if the peer does not know it.
func TestClassicHasNoMore(t *testing.T) {
	part := c("00000010 00000003 40 00  0a087665632e4563686f12044563686f")
	refused := s("00000008 00000001 02 00  0a06080c12026e6f")
	wantCut(t, "a part in classic", watch.Config{}, []piece{part}, "→ 3 control a frame of part, which means nothing here")
	wantCut(t, "a part after a Hello that was refused", watch.Config{}, []piece{agreed[0], refused, part},
		agreedLines[0],
		`← 1 finish /ttrpc.extensions.v1.Connection/Hello status=12 "no" details=0`,
		"→ 3 control a frame of part, which means nothing here")
}

// onTrunk returns pieces as they stand on NRI's trunk, one of its connections.
func onTrunk(number uint32, pieces ...piece) (all []piece) {
	for _, p := range pieces {
		b := binary.BigEndian.AppendUint32(nil, number)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.data)))
		all = append(all, piece{p.fromServer, append(b, p.data...)})
	}
	return all
}

// TestTrunk holds that the connections of NRI's trunk are told apart, on which calls go both
// ways with the same ids.
func TestTrunk(t *testing.T) {
	call := unhex("00000019 00000001 01 00  0a087665632e4563686f12044563686f1a070a0568656c6c6f")
	answer := unhex("00000009 00000001 02 00  12070a0568656c6c6f")
	pieces := slices.Concat(
		onTrunk(2, piece{false, call}),
		onTrunk(1, piece{true, call[:12]}, piece{true, call[12:]}),
		onTrunk(2, piece{true, answer}),
		onTrunk(1, piece{false, answer}))
	wantCut(t, "the trunk", watch.Config{Trunk: true}, pieces,
		"2 → 1 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"1 ← 1 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"2 ← 1 finish /vec.Echo/Echo [0a0568656c6c6f]",
		"1 → 1 finish /vec.Echo/Echo [0a0568656c6c6f]")
	want(t, "no trunk", look(watch.Config{Trunk: true}, []piece{{false, call}}),
		"657526 → 0 note this is not NRI's multiplexer, or its place was lost: a packet of more than 4 MiB; the rest of this direction is not looked at",
		"25 → 0 note it ends within a header: 1 of 10 bytes have come")
}

// TestForeign holds that other protocols are called by their name, once.
func TestForeign(t *testing.T) {
	call := unhex("00000019 00000001 01 00  0a087665632e4563686f12044563686f1a070a0568656c6c6f")
	for begin, what := range map[string]string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03":   "this is TLS, which cannot be read on its way",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":               "this is HTTP/2, as gRPC speaks it, and not ttrpc (proxy --grpc understands it)",
		"GET /debug/pprof HTTP/1.1\r\nHost: x\r\n\r\n":   "this is HTTP and not ttrpc",
		"CONNECT " + strings.Repeat("x", 100) + "\nmore": "",
	} {
		text := what + ": the rest of the connection is not looked at"
		if what == "" {
			text = "this is no ttrpc: it begins with a line of text: the rest of the connection is not looked at"
		}
		for _, midway := range []bool{false, what != ""} {
			wantCut(t, begin[:8], watch.Config{Midway: midway}, []piece{{false, []byte(begin)}, {true, call}}, "→ 0 note "+text)
		}
	}
	wantCut(t, "hvsock", watch.Config{}, []piece{
		{false, append([]byte("CONNECT 1024\n"), call...)},
		{true, append([]byte("OK 7\n"), unhex("00000009 00000001 02 00  12070a0568656c6c6f")...)},
	},
		"→ 0 control handshake: CONNECT 1024",
		"→ 1 begin /vec.Echo/Echo streams=false sends=false [0a0568656c6c6f]",
		"← 0 control handshake: OK 7",
		"← 1 finish /vec.Echo/Echo [0a0568656c6c6f]")
}

// TestViolations holds what is told of what peers must not send, and that calls go on.
func TestViolations(t *testing.T) {
	call := func(id uint32) piece {
		return piece{false, wire.AppendFrame(nil, id, wire.TypeRequest, 0, unhex("0a087665632e4563686f12044563686f"))}
	}
	answer := func(id uint32) piece { return piece{true, wire.AppendFrame(nil, id, wire.TypeResponse, 0, nil)} }
	begin := func(id int) string {
		return fmt.Sprintf("→ %d begin /vec.Echo/Echo streams=false sends=false []", id)
	}
	wantCut(t, "an id that is in use", watch.Config{}, []piece{call(1), call(1), answer(1)},
		begin(1), "→ 0 note a request on id 1, which is in use", "← 1 finish /vec.Echo/Echo []")
	wantCut(t, "an even id", watch.Config{}, []piece{call(2), {true, wire.AppendFrame(nil, 2, wire.TypeResponse, 0, unhex("0a04080312 00"))}},
		"→ 2 control a request on an id that no client may use", `← 2 finish status=3 "" details=0`)
	wantCut(t, "a response by the caller", watch.Config{}, []piece{call(1), {false, answer(1).data}, answer(1)},
		begin(1), "→ 0 note a response on id 1 by who made that call", "← 1 finish /vec.Echo/Echo []")
	wantCut(t, "a late response", watch.Config{}, []piece{call(1), answer(1), answer(1)},
		begin(1), "← 1 finish /vec.Echo/Echo []", "← 1 control [] a response for a call that has ended")
	wantCut(t, "what does not parse", watch.Config{}, []piece{
		{false, wire.AppendFrame(nil, 1, wire.TypeRequest, 0, []byte("\x0a\x05x"))},
		{true, wire.AppendFrame(nil, 1, wire.TypeResponse, 0, []byte("\x0a\x05x"))}},
		"→ 1 begin // streams=false sends=false []",
		"→ 0 note a request on id 1 that does not parse: cannot parse invalid wire-format data",
		"← 0 note a response on id 1 that does not parse: cannot parse invalid wire-format data",
		`← 1 finish // status=13 "the response does not parse" details=0`)
	wantCut(t, "an end within a frame", watch.Config{}, []piece{call(1), {true, answer(1).data[:7]}, {false, call(3).data[:15]}},
		begin(1),
		"→ 0 note it ends within a frame (request, id 3): 5 of 16 bytes have come",
		"← 0 note it ends within a header: 7 of 10 bytes have come",
		"← 1 lost /vec.Echo/Echo")
	want(t, "a long message", look(watch.Config{MaxMessage: 20}, bytewise([]piece{
		{false, wire.AppendFrame(nil, 1, wire.TypeRequest, 0, unhex("0a087665632e4563686f12044563686f1a070a0568656c6c6f"))}, answer(1)})),
		"→ 1 begin /vec.Echo/Echo streams=false sends=false cut=25", "← 1 finish /vec.Echo/Echo []")
}

// TestLostAndFound holds that a direction is found again after what is no frame, and where
// captures begin within one.
func TestLostAndFound(t *testing.T) {
	frames := func(ids ...uint32) (b []byte) {
		for _, id := range ids {
			b = wire.AppendFrame(b, id, wire.TypeRequest, 0, unhex("0a087665632e4563686f12044563686f"))
		}
		return b
	}
	begin := func(id int) string {
		return fmt.Sprintf("→ %d begin /vec.Echo/Echo streams=false sends=false []", id)
	}
	var lost []string
	for _, id := range []int{1, 3, 5} {
		lost = append(lost, fmt.Sprintf("← %d lost /vec.Echo/Echo", id))
	}
	noise := []byte("\xff\xfe\xfd and more that is no frame")
	for name, after := range map[string][]piece{
		"at once": {{false, slices.Concat(noise, frames(3, 5))}},
		"later":   {{false, noise}, {false, frames(3, 5)}},
		"cut":     bytewise([]piece{{false, slices.Concat(noise, frames(3, 5))}}),
	} {
		told := look(watch.Config{}, append([]piece{{false, frames(1)}}, after...))
		want(t, name, told, append([]string{begin(1),
			"→ 0 note no frame at byte 26: ff fe fd 20 61 6e 64 20 6d 6f would have 4294901024 bytes of data; looking for the next one",
			"→ 0 note a frame begins at byte 55: 29 bytes were passed over",
			begin(3), begin(5)}, lost...)...)
	}
	all := frames(1, 3, 5)
	for n := range 26 {
		lines := []string{begin(3), begin(5)}
		switch {
		case n == 0:
			lines = []string{begin(1), begin(3), begin(5), lost[0]}
		default:
			lines = append([]string{fmt.Sprintf("→ 0 note the first %d bytes belong to a frame that began before", 26-n)}, lines...)
		}
		lines = append(lines, lost[1:]...)
		want(t, fmt.Sprint("midway ", n), look(watch.Config{Midway: true}, []piece{{false, all[n:]}}), lines...)
	}
	want(t, "nothing is found", look(watch.Config{}, []piece{{false, bytes.Repeat([]byte{0xff}, 100)}}),
		"→ 0 note no frame at byte 0: ff ff ff ff ff ff ff ff ff ff would have 4294967295 bytes of data; looking for the next one",
		"→ 0 note the last 100 bytes were passed over: no frame was found in them")
}

// TestMemory holds that peers cannot make a watcher hold much, by what PROTOCOL.md forbids:
// messages that never end, streams without number, names without end.
func TestMemory(t *testing.T) {
	const bound = 80 << 20
	for name, write := range map[string]func(w *watch.Conn){
		"parts": func(w *watch.Conn) {
			part := wire.AppendFrame(nil, 3, wire.TypePart, 0, make([]byte, 256<<10))
			for i := range 400 { // 100 MiB
				wire.PutStreamID(part, uint32(3+2*(i%64)))
				w.Write(false, began, part)
			}
		},
		"begun": func(w *watch.Conn) {
			part := wire.AppendFrame(nil, 3, wire.TypePart, 0, nil)
			for i := range 1<<16 + 1000 {
				wire.PutStreamID(part, uint32(2*i+3))
				w.Write(false, began, part)
			}
		},
		"streams": func(w *watch.Conn) {
			r := wire.Request{Service: strings.Repeat("s", 500), Method: strings.Repeat("m", 500)}
			open := wire.AppendFrame(nil, 3, wire.TypeRequest, wire.FlagRemoteOpen, r.Append(nil))
			for i := range 1 << 17 { // 130 MB of names
				wire.PutStreamID(open, uint32(2*i+3))
				w.Write(false, began, open)
			}
		},
		"metadata": func(w *watch.Conn) {
			r := wire.Request{Service: "s", Method: "m", Metadata: []wire.KeyValue{{Key: "k", Value: strings.Repeat("v", 1<<20)}}}
			open := wire.AppendFrame(nil, 3, wire.TypeRequest, wire.FlagRemoteOpen, r.Append(nil))
			for i := range 100 {
				wire.PutStreamID(open, uint32(2*i+3))
				w.Write(false, began, open)
			}
		},
		"a frame": func(w *watch.Conn) {
			w.Write(false, began, wire.AppendHeader(nil, wire.Header{Length: wire.MaxLength, StreamID: 3, Type: wire.TypeData}))
			for range 15 {
				w.Write(false, began, make([]byte, 1<<20))
			}
		},
		"noise": func(w *watch.Conn) {
			noise := bytes.Repeat([]byte{0xff}, 1<<20)
			for range 4 {
				w.Write(false, began, noise)
			}
		},
		"trunk": nil,
	} {
		config := watch.Config{Tell: func(watch.Event) {}}
		if name == "trunk" {
			config.Trunk = true
			write = func(w *watch.Conn) {
				for i := range uint32(1 << 16) {
					w.Write(false, began, onTrunk(i, piece{false, make([]byte, 1<<10)})[0].data)
				}
			}
		}
		before := heap()
		w := watch.New(config)
		for _, p := range agreed {
			if name != "trunk" {
				w.Write(p.fromServer, began, p.data)
			}
		}
		write(w)
		if held := heap() - before; held > bound {
			t.Errorf("B179: %s: %d MiB are held", name, held>>20)
		}
		w.Close(began)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func ExampleWords() {
	request := wire.Request{Service: "hello.Greeter", Method: "Hello", Payload: []byte("\n\x03Ada"), TimeoutNano: 5e9}.Append(nil)
	fmt.Println(watch.Words(ttrpc.FrameInfo{Sent: true, StreamID: 3, Type: uint8(wire.TypeRequest), Length: len(request), Data: request}))
	fmt.Println(watch.Words(ttrpc.FrameInfo{StreamID: 3, Type: uint8(wire.TypeData), Flags: wire.FlagRemoteClosed | wire.FlagNoData}))
	// Output:
	// → request, id 3, 35 bytes: /hello.Greeter/Hello, a message of 5 bytes, timeout 5s
	// ← data, id 3, end, no message
}

// FuzzWatch gives any bytes to a watcher, in pieces that the first of them tell. Nothing may
// fail, and unless the place was lost all must be told alike however the bytes are cut.
func FuzzWatch(f *testing.F) {
	for _, p := range agreed {
		f.Add(uint8(0), p.data)
	}
	f.Add(uint8(1), onTrunk(1, agreed[0])[0].data)
	f.Add(uint8(2), append([]byte{0xff, 0xff}, agreed[0].data...))
	f.Fuzz(func(t *testing.T, flags uint8, b []byte) {
		config := watch.Config{Trunk: flags&1 != 0, Midway: flags&2 != 0, Frames: flags&4 != 0, MaxMessage: 64 << (flags >> 6 << 2)}
		r := rand.New(rand.NewPCG(uint64(flags), uint64(len(b))))
		var pieces []piece
		for len(b) > 0 { // a byte tells from whom, and how much follows it
			n := min(len(b)-1, int(b[0]>>1)*4)
			pieces = append(pieces, piece{b[0]&1 != 0, b[1 : 1+n]})
			b = b[1+n:]
		}
		pieces = append(slices.Clone(agreed[:r.IntN(3)]), pieces...)
		whole, single := look(config, pieces), look(config, bytewise(pieces))
		if config.Midway || strings.Contains(strings.Join(whole, "\n"), "no frame at byte") {
			return // what was written at once is a help in finding the place
		}
		if !slices.Equal(whole, single) {
			t.Errorf("B178: told is\n  %s\nand byte by byte\n  %s", strings.Join(whole, "\n  "), strings.Join(single, "\n  "))
		}
	})
}

// TestGap holds that what a capture has lost within a message costs that message alone, and else
// the place, which is found again.
func TestGap(t *testing.T) {
	call := func(id uint32) []byte {
		return wire.AppendFrame(nil, id, wire.TypeRequest, 0, unhex("0a087665632e4563686f12044563686f"))
	}
	first := wire.AppendFrame(nil, 1, wire.TypeRequest, 0, append(unhex("0a087665632e4563686f12044563686f1a64"), make([]byte, 100)...))
	for n, lines := range map[int][]string{
		30: {"→ 1 begin /vec.Echo/Echo streams=false sends=false cut=118", "→ 3 begin /vec.Echo/Echo streams=false sends=false []"},
		22: {"→ 1 begin /vec.Echo/ streams=false sends=false cut=118", "→ 3 begin /vec.Echo/Echo streams=false sends=false []"},
		5:  {"→ 0 note 20 bytes are missing after byte 5; looking for the next frame", "→ 0 note a frame begins at byte 128: 123 bytes were passed over", "→ 3 begin /vec.Echo/Echo streams=false sends=false []"},
	} {
		var told []string
		w := watch.New(watch.Config{Tell: func(e watch.Event) { told = append(told, line(e)) }})
		w.Write(false, began, first[:n])
		w.Gap(false, began, 20)
		w.Write(false, began, first[n+20:])
		w.Write(false, began, call(3))
		want(t, fmt.Sprint("a gap after ", n), told, lines...)
	}
	var told []string
	w := watch.New(watch.Config{Trunk: true, Tell: func(e watch.Event) { told = append(told, line(e)) }})
	w.Write(false, began, onTrunk(2, piece{false, call(1)})[0].data)
	w.Gap(false, began, 20)
	w.Write(false, began, onTrunk(2, piece{false, call(3)})[0].data)
	want(t, "a gap of a trunk", told, "2 → 1 begin /vec.Echo/Echo streams=false sends=false []",
		"2 → 0 note bytes are missing; the rest of this direction is not looked at")
}

// TestSender holds from which frames it is known who is the client.
func TestSender(t *testing.T) {
	frame := func(id uint32, typ wire.Type) []byte { return wire.AppendFrame(nil, id, typ, 0, nil) }
	for name, test := range map[string]struct {
		data           []byte
		fromServer, ok bool
	}{
		"request":              {frame(1, wire.TypeRequest), false, true},
		"request of a server":  {frame(2, wire.TypeRequest), true, true},
		"response":             {frame(1, wire.TypeResponse), true, true},
		"response to a server": {frame(2, wire.TypeResponse), false, true},
		"data":                 {frame(1, wire.TypeData), false, false},
		"noise":                {[]byte("some text that is none"), false, false},
		"nothing":              {nil, false, false},
	} {
		if fromServer, ok := watch.Sender(test.data); fromServer != test.fromServer || ok != test.ok {
			t.Errorf("B182: %s: %v, %v", name, fromServer, ok)
		}
	}
}
