// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHelloOfServer holds what a server says, byte for byte.
func TestHelloOfServer(t *testing.T) {
	for name, test := range map[string]struct {
		opts   []ServerOpt
		answer string
	}{
		"by default":            {nil, "1211" + "0801" + "1880808002" + "208030" + "2880808004" + "3001"},
		"to who knows metadata": {nil, "121b" + "0801" + "12086d65746164617461" + "1880808002" + "208030" + "2880808004" + "3001"},
		"with options": {[]ServerOpt{WithServerLimits(Limits{MessageSize: maxMessageCap, Queue: StreamQueue{Window: 1, ConnectionBytes: 40 << 10}})},
			"120f" + "0801" + "188080808004" + "2001" + "288050" + "3001"},
		"a window over the connection's": {[]ServerOpt{WithServerLimits(Limits{Queue: StreamQueue{Window: 50 << 10, ConnectionBytes: 40 << 10}})},
			"120f" + "0801" + "1880808002" + "208008" + "288050" + "3001"},
		"the widest": {[]ServerOpt{WithServerLimits(Limits{Queue: StreamQueue{Window: math.MaxInt, ConnectionBytes: math.MaxInt}})},
			"1212" + "0801" + "1880808002" + "208040" + "28ffffffff01" + "3001"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := newTestServer(t, append(test.opts, WithServerExtensions())...)
				h := peerHello()
				h.Files = true // not over this conn
				h.Metadata = name == "to who knows metadata"
				ts.peer.send(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil)))
				ts.peer.want("B46", 1, messageTypeResponse, 0, unhex(t, test.answer))
				ts.peer.send(0, messageTypePing, 0, []byte("12345678"))
				ts.peer.want("B46: extended from then on", 0, messageTypePing, flagAnswer, []byte("12345678"))
				ts.peer.wantEcho("B46: the next id", 3)
			})
		})
	}
}

// TestHelloMisplaced holds where Hello is a call like any other.
func TestHelloMisplaced(t *testing.T) {
	h := peerHello()
	hi := helloRequest(t, h.Append(nil))
	knows := []ServerOpt{WithServerExtensions()}
	unknown := func(p *rawPeer, id uint32) {
		p.wantStatus("B46", id, codes.Unimplemented, "service ttrpc.extensions.v1.Connection")
	}
	for name, test := range map[string]struct {
		send func(p *rawPeer)
		opts []ServerOpt
	}{
		"another id":     {func(p *rawPeer) { p.send(3, messageTypeRequest, 0, hi); unknown(p, 3) }, knows},
		"opens a stream": {func(p *rawPeer) { p.send(1, messageTypeRequest, flagRemoteOpen, hi); unknown(p, 1) }, knows},
		"opens half":     {func(p *rawPeer) { p.send(1, messageTypeRequest, flagRemoteClosed, hi); unknown(p, 1) }, knows},
		"after another":  {func(p *rawPeer) { p.wantEcho("B46", 3); p.send(1, messageTypeRequest, 0, hi); unknown(p, 1) }, knows},
		"after a rejected": {func(p *rawPeer) {
			p.send(2, messageTypeRequest, 0, nil)
			p.next("")
			p.send(1, messageTypeRequest, 0, hi)
			unknown(p, 1)
		}, knows},
		"a server told nothing": {func(p *rawPeer) { p.send(1, messageTypeRequest, 0, hi); unknown(p, 1) }, nil},
		"another method": {func(p *rawPeer) {
			p.send(1, messageTypeRequest, 0, encode(t, &Request{Service: helloService, Method: "Hullo", Payload: h.Append(nil)}))
			unknown(p, 1)
		}, knows},
		"another service": {func(p *rawPeer) {
			p.send(1, messageTypeRequest, 0, encode(t, &Request{Service: "test", Method: helloMethod}))
			p.wantStatus("B46", 1, codes.Unimplemented, "method Hello")
		}, knows},
		"a second time, malformed first": {func(p *rawPeer) {
			p.send(1, messageTypeRequest, 0, helloRequest(t, nil))
			p.next("")
			p.send(1, messageTypeRequest, 0, hi)
			unknown(p, 1)
		}, knows},
	} {
		t.Run(name, func(t *testing.T) {
			onServer(t, func(t *testing.T, ts *testServer) {
				test.send(ts.peer)
				wantClassicServer(ts)
			}, test.opts...)
		})
	}
}

// wantClassicServer requires that a connection is classic, which ignores what the extended
// mode has, or rejects the id 0.
func wantClassicServer(ts *testServer) {
	p := ts.peer
	p.t.Helper()
	for typ := messageTypePart; typ <= messageTypeGoodbye; typ++ {
		p.send(101, typ, 0, []byte("data"))
		p.wantNothing("B46: classic")
		p.send(0, typ, 0, nil)
		p.wantStatus("B46: classic", 0, codes.InvalidArgument, evenText)
	}
	p.send(2, messageTypeRequest, 0, nil)
	p.wantStatus("B46: classic", 2, codes.InvalidArgument, evenText)
	p.wantEcho("B46: classic", 201)
	p.wantEcho("B46: classic, ids may fall", 199)
	if ts.conn.cfg.extends == nil {
		return
	}
	if err := ts.conn.client().Call(p.t.Context(), "test", "Echo", wrapperspb.String(""), new(wrapperspb.StringValue)); err != ErrPeerClassic {
		p.t.Errorf("B50: a call to a classic peer: %v", err)
	}
	p.wantNothing("B50: nothing is sent to a classic peer")
}

// TestHelloMalformed holds that a server answers what it cannot read, and stays classic.
func TestHelloMalformed(t *testing.T) {
	for name, payload := range map[string][]byte{
		"nothing":        nil,
		"noise":          {0xff, 0xff},
		"version 0":      hello{MaxMessage: 1, Window: 1, ConnectionWindow: 1}.Append(nil),
		"no limit":       hello{Version: 1, Window: 1, ConnectionWindow: 1}.Append(nil),
		"a window of 0":  hello{Version: 1, MaxMessage: 1, ConnectionWindow: 1}.Append(nil),
		"a cut one":      {0x08, 1, 0x18, 1, 0x20, 1, 0x28},
		"a bad feature":  {0x08, 1, 0x12, 1, 0xff, 0x18, 1, 0x20, 1, 0x28, 1},
		"number as text": {0x0a, 1, 1, 0x18, 1, 0x20, 1, 0x28, 1},
	} {
		t.Run(name, func(t *testing.T) {
			onServer(t, func(t *testing.T, ts *testServer) {
				ts.peer.send(1, messageTypeRequest, 0, helloRequest(t, payload))
				var r Response
				f := ts.peer.next("B46")
				if err := proto.Unmarshal(f.data, &r); err != nil || f.StreamID != 1 || r.Status.GetCode() != int32(codes.InvalidArgument) || !strings.HasPrefix(r.Status.GetMessage(), "ttrpc: malformed Hello: ") {
					t.Errorf("B46: the answer is %v on %d, %v", &r, f.StreamID, err)
				}
				wantClassicServer(ts)
			}, WithServerExtensions())
		})
	}
	t.Run("the envelope", func(t *testing.T) {
		onServer(t, func(t *testing.T, ts *testServer) {
			ts.peer.send(1, messageTypeRequest, 0, append(helloRequest(t, nil), 0xff))
			if f := ts.peer.next("B46"); f.StreamID != 1 || f.Type != messageTypeResponse {
				t.Errorf("B46: %v on %d", f.Type, f.StreamID)
			}
			wantClassicServer(ts)
		}, WithServerExtensions())
	})
}

// TestHelloLimits holds whose numbers count.
func TestHelloLimits(t *testing.T) {
	for _, test := range []struct {
		ours, theirs, want uint64
	}{{100, 200, 100}, {200, 100, 100}, {maxMessageCap, math.MaxUint64, maxMessageCap}, {messageLengthMax, 1, 1}} {
		h := peerHello()
		h.Version, h.MaxMessage, h.Window, h.ConnectionWindow = 9, test.theirs, math.MaxUint64, math.MaxUint64
		onEitherEndWith(t, h, StreamQueue{}, int(test.ours), func(t *testing.T, e *extendedEnd) {
			if got := e.conn.messageLimit(); got != int(test.want) {
				t.Errorf("B46: a limit of %d and one of %d make %d", test.ours, test.theirs, got)
			}
			if have := extOf(e.conn).calls.send.have; have != maxCredit {
				t.Errorf("B48: the credit of calls is %d", have)
			}
		})
	}
}

// TestHelloIsNoCall holds that neither interceptors nor caps see it.
func TestHelloIsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		count := func(ctx context.Context, u Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
			calls++
			return m(ctx, u)
		}
		sent := 0
		p := newBubblePair(t, []ServerOpt{WithUnaryServerInterceptor(count), WithServerLimits(Limits{Handlers: 1})},
			WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
				sent++
				return invoke(ctx, req, resp)
			}))
		if err := p.echo(t.Context(), "x"); err != nil || calls != 1 || sent != 1 {
			t.Errorf("B46: interceptors saw %d and %d calls, want 1; %v", calls, sent, err)
		}
	})
}
