// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"cmp"
	"io"
	"slices"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/wire"
)

// Scenarios in which each side says the same every time, on each stream.
var wireCalls = []string{
	"echo of 64 KiB",
	"request over the limit",
	"status errors",
	"errors",
	"unimplemented",
	"metadata",
}

// Those with streams are for peers that know streams: when a client learns from others
// that they do not is luck.
var wireStreams = []string{
	"server stream of 1000",
	"client stream over the limit",
	"bidi ping-pong",
	"bidi cancel",
	"stream called as unary and back",
}

// An oldPeer does not know the extended mode, or is told so.
type oldPeer struct {
	version string
	refuses codes.Code // what its server says to a Hello
}

var oldPeers = []oldPeer{
	{"v1.0.1", codes.NotFound},
	{"v1.1.0", codes.Unimplemented},
	{"v1.2.2", codes.Unimplemented},
	{"v1.2.10", codes.Unimplemented},
	{rustSync, codes.InvalidArgument},
	{rustAsync, codes.InvalidArgument},
}

// forWire runs a test for each scenario that a peer can run, as client or as server.
func forWire(t *testing.T, known scenarios, version string, rust []rustScenario, with pair, test func(t *testing.T, scenario string)) {
	runs := func(name string) bool { return known.has(with, name) && findHang(hangs, with.classic(), name) == nil }
	names := slices.Concat(wireCalls, wireStreams)
	t.Run(version, func(t *testing.T) {
		if slices.Contains(rustPeers, version) {
			needRust(t)
			names = wireCalls
			runs = func(name string) bool {
				return slices.ContainsFunc(rust, func(sc rustScenario) bool { return sc.name == name })
			}
		}
		for _, name := range names {
			if runs(name) {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, name)
				})
			}
		}
	})
}

// TestOldServersSeeOneCallMore compares all that is said between a client that asks for
// the extended mode and a server that does not know it, with what is said if the client
// does not ask.
func TestOldServersSeeOneCallMore(t *testing.T) {
	known := knownScenarios(t)
	for _, old := range append(oldPeers, oldPeer{declining, codes.Unimplemented}) {
		forWire(t, known, old.version, rustServerScenarios, pair{extended, old.version}, func(t *testing.T, scenario string) {
			said, heard := tapped(t, ours, old.version, scenario)
			saidMore, heardMore := tapped(t, extended, old.version, scenario)
			for i := range saidMore {
				saidMore[i] = skipHello(t, saidMore[i], func(f frame) bool { return f == hello() })
				heardMore[i] = skipHello(t, heardMore[i], func(f frame) bool { return f.refuses(t, old.refuses) })
			}
			wantSame(t, "client", saidMore, said)
			wantSame(t, "server", heardMore, heard)
		})
	}
}

// TestOldClientsSeeNothing compares what a server that uses the extended mode wherever it
// can says to a client that does not know it, with what a server says that is told not to
// know it. All the former's handlers try to call the client.
func TestOldClientsSeeNothing(t *testing.T) {
	known := knownScenarios(t)
	for _, old := range append(oldPeers, oldPeer{version: ours}) {
		forWire(t, known, old.version, rustClientScenarios, pair{old.version, extended}, func(t *testing.T, scenario string) {
			_, want := tapped(t, old.version, declining, scenario)
			_, got := tapped(t, old.version, extended, scenario)
			wantSame(t, "server", got, want)
		})
	}
}

// hello is what a client's first frame is, without other options than the peers have.
func hello() frame {
	h := wire.Hello{Version: 1, Metadata: true, MaxMessage: 4 << 20, Window: 6 << 10, ConnectionWindow: 8 << 20, Serves: true}
	return frame{id: 1, typ: wire.TypeRequest, data: string(wire.HelloRequest(h.Append(nil)))}
}

// refuses tells whether f is the answer to a Hello of who does not know it.
func (f frame) refuses(t *testing.T, code codes.Code) bool {
	t.Helper()
	var resp ttrpc.Response
	if err := proto.Unmarshal([]byte(f.data), &resp); err != nil {
		t.Fatal(err)
	}
	return f.id == 1 && f.typ == wire.TypeResponse && f.flags == 0 && codes.Code(resp.Status.GetCode()) == code
}

// skipHello returns the frames after the first, with the ids that they would have without
// it.
func skipHello(t *testing.T, frames []frame, isHello func(frame) bool) []frame {
	t.Helper()
	if len(frames) == 0 || !isHello(frames[0]) {
		t.Fatalf("B46: the connection begins with %v, want a Hello, and its refusal", frames)
	}
	rest := slices.Clone(frames[1:])
	for i := range rest {
		rest[i].id -= 2
	}
	return rest
}

// wantSame compares the frames of one side, and wants them to be such as old peers know.
// Those of different streams come as it happens.
func wantSame(t *testing.T, side string, got, want [][]frame) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("B46: %d connections, want %d", len(got), len(want))
	}
	for i := range got {
		for _, f := range got[i] {
			if f.typ < wire.TypeRequest || f.typ > wire.TypeData {
				t.Errorf("B46: the %s sent a %v to who does not know it", side, f)
			}
		}
		for _, frames := range [][]frame{got[i], want[i]} {
			slices.SortStableFunc(frames, func(a, b frame) int { return cmp.Compare(a.id, b.id) })
		}
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("B46: connection %d: the %s sent\n%v\nwant\n%v", i, side, got[i], want[i])
		}
	}
}

// TestServerSpeaksWhenSpokenTo has a server ping those who have agreed to it, and looks
// what it says meanwhile to one who has said nothing, and to one who has made a call.
func TestServerSpeaksWhenSpokenTo(t *testing.T) {
	server := startPeer(t, extended)
	text := encoded(t, wrapperspb.String("x"))
	call := frame{typ: wire.TypeRequest, data: encoded(t, &ttrpc.Request{Service: "compat.Peer", Method: "Text", Payload: []byte(text)})}
	silent, classic := dialRaw(t, server.addr), dialRaw(t, server.addr)
	ask := func(conn io.ReadWriter, id uint32) {
		call.id = id
		if _, err := conn.Write(call.encode()); err != nil {
			t.Fatal(err)
		}
		want := frame{id: id, typ: wire.TypeResponse, data: encoded(t, &ttrpc.Response{Payload: []byte(text)})}
		if f, err := readFrame(conn); f != want {
			t.Errorf("B46: the server sent a %v, %v, want a %v", f, err, want)
		}
	}
	ask(classic, 1)
	for range 5 {
		conn := dialRaw(t, server.addr)
		if _, err := conn.Write(hello().encode()); err != nil {
			t.Fatal(err)
		}
		for f := (frame{}); f.typ != wire.TypePing; {
			var err error
			if f, err = readFrame(conn); err != nil {
				t.Fatal("B52: no ping: ", err)
			}
		}
	}
	ask(silent, 1)
	ask(classic, 3)
}
