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
	"google.golang.org/protobuf/encoding/protowire"
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

// TestHelloExample holds the example of PROTOCOL.md.
func TestHelloExample(t *testing.T) {
	want := hello{version: 1, files: true, maxMessage: 16 << 20, window: 256 << 10, connectionWindow: 32 << 20, serves: true}
	b := unhex(t, "0801120566696c657318808080082080801028808080103001")
	if got, err := parseHello(b); err != nil || got != want {
		t.Errorf("B46: the example says %+v, %v", got, err)
	}
	if got := want.append(nil); string(got) != string(b) {
		t.Errorf("B46: %x, want %x", got, b)
	}
	request := "0a1e74747270632e657874656e73696f6e732e76312e436f6e6e656374696f6e120548656c6c6f1a19" + hex.EncodeToString(b)
	if got := hex.EncodeToString(helloRequest(t, b)); got != request {
		t.Errorf("B46: the request is %s, want %s", got, request)
	}
}

func TestHelloParsing(t *testing.T) {
	h := peerHello()
	valid := h.append(nil)
	for i := range valid {
		if got, err := parseHello(valid[:i]); err == nil && (i < len(valid)-2 || got.serves) {
			t.Errorf("B46: %d of %d bytes are taken for %+v", i, len(valid), got)
		}
	}
	field := func(num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n)
	}
	text := func(num protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), s)
	}
	limit, window, all := field(3, 1), field(4, 1), field(5, 1)
	for name, test := range map[string]struct {
		fields [][]byte
		want   *hello
	}{
		"nothing":              {nil, nil},
		"no version":           {[][]byte{limit, window, all}, nil},
		"version 0":            {[][]byte{field(1, 0), limit, window, all}, nil},
		"no limit":             {[][]byte{field(1, 1), window, all}, nil},
		"no window":            {[][]byte{field(1, 1), limit, all}, nil},
		"no connection window": {[][]byte{field(1, 1), limit, window}, nil},
		"a limit of 0":         {[][]byte{field(1, 1), field(3, 0), window, all}, nil},
		"a feature of no text": {[][]byte{field(1, 1), limit, window, all, text(2, "\xff")}, nil},
		"noise":                {[][]byte{field(1, 1), limit, window, all, {0xff}}, nil},
		"field 0":              {[][]byte{field(1, 1), limit, window, all, {0, 0}}, nil},
		"the least":            {[][]byte{field(1, 1), limit, window, all}, &hello{1, false, 1, 1, 1, false}},
		"any order":            {[][]byte{all, limit, field(1, 1), window}, &hello{1, false, 1, 1, 1, false}},
		"the last counts":      {[][]byte{field(1, 1), limit, field(3, 7), window, all}, &hello{1, false, 7, 1, 1, false}},
		"a later version":      {[][]byte{field(1, 7), limit, window, all}, &hello{7, false, 1, 1, 1, false}},
		"serves as 2":          {[][]byte{field(1, 1), limit, window, all, field(6, 2)}, &hello{1, false, 1, 1, 1, true}},
		"unknown fields":       {[][]byte{field(1, 1), limit, field(7, 9), text(15, "x"), text(1000, "y"), field(16, 3), window, all}, &hello{1, false, 1, 1, 1, false}},
		"unknown types":        {[][]byte{field(1, 1), limit, text(3, "x"), field(2, 5), window, all}, &hello{1, false, 1, 1, 1, false}},
		"unknown features":     {[][]byte{field(1, 1), text(2, "example.com/zstd"), text(2, ""), text(2, "Files"), limit, window, all}, &hello{1, false, 1, 1, 1, false}},
		"files among others":   {[][]byte{field(1, 1), text(2, "x"), text(2, "files"), text(2, "y"), limit, window, all}, &hello{1, true, 1, 1, 1, false}},
		"the largest":          {[][]byte{field(1, math.MaxUint64), field(3, math.MaxUint64), field(4, math.MaxUint64), field(5, math.MaxUint64)}, &hello{math.MaxUint64, false, math.MaxUint64, math.MaxUint64, math.MaxUint64, false}},
	} {
		got, err := parseHello([]byte(strings.Join(stringsOf(test.fields), "")))
		switch {
		case test.want == nil && err == nil:
			t.Errorf("B46: %s is taken for %+v", name, got)
		case test.want != nil && (err != nil || got != *test.want):
			t.Errorf("B46: %s: %+v, %v, want %+v", name, got, err, *test.want)
		}
	}
}

func stringsOf(all [][]byte) (s []string) {
	for _, b := range all {
		s = append(s, string(b))
	}
	return s
}

// TestHelloOfServer holds what a server says, byte for byte.
func TestHelloOfServer(t *testing.T) {
	for name, test := range map[string]struct {
		opts   []ServerOpt
		answer string
	}{
		"by default": {nil, "1212" + "0801" + "1880808002" + "20808010" + "2880808010" + "3001"},
		"with options": {[]ServerOpt{WithServerMaxMessageSize(maxMessageCap), WithServerStreamQueue(StreamQueue{Window: 1, ConnectionBytes: 2})},
			"120e" + "0801" + "188080808004" + "2001" + "2802" + "3001"},
		"a window over the connection's": {[]ServerOpt{WithServerStreamQueue(StreamQueue{Window: 3, ConnectionBytes: 2})},
			"120d" + "0801" + "1880808002" + "2002" + "2802" + "3001"},
		"the widest": {[]ServerOpt{WithServerStreamQueue(StreamQueue{Window: math.MaxInt, ConnectionBytes: math.MaxInt})},
			"1215" + "0801" + "1880808002" + "20ffffffff07" + "28ffffffff07" + "3001"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := newTestServer(t, append(test.opts, WithServerExtensions())...)
				h := peerHello()
				h.files = true // not over this conn
				ts.peer.send(1, messageTypeRequest, 0, helloRequest(t, h.append(nil)))
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
	hi := helloRequest(t, h.append(nil))
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
			p.send(1, messageTypeRequest, 0, encode(t, &Request{Service: helloService, Method: "Hullo", Payload: h.append(nil)}))
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
		"version 0":      {0x08, 0, 0x18, 1, 0x20, 1, 0x28, 1},
		"no limit":       {0x08, 1, 0x20, 1, 0x28, 1},
		"a window of 0":  {0x08, 1, 0x18, 1, 0x20, 0, 0x28, 1},
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
		h.version, h.maxMessage, h.window, h.connectionWindow = 9, test.theirs, math.MaxUint64, math.MaxUint64
		onEitherEndWith(t, h, StreamQueue{}, int(test.ours), func(t *testing.T, e *extendedEnd) {
			if got := e.conn.messageLimit(); got != int(test.want) {
				t.Errorf("B46: a limit of %d and one of %d make %d", test.ours, test.theirs, got)
			}
			if extOf(e.conn).send.have != maxCredit {
				t.Errorf("B48: the connection's credit is %d", extOf(e.conn).send.have)
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
		p := newBubblePair(t, []ServerOpt{WithUnaryServerInterceptor(count), WithMaxConcurrentHandlers(1)},
			WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, invoke Invoker) error {
				sent++
				return invoke(ctx, req, resp)
			}))
		if err := p.echo(t.Context(), "x"); err != nil || calls != 1 || sent != 1 {
			t.Errorf("B46: interceptors saw %d and %d calls, want 1; %v", calls, sent, err)
		}
	})
}
