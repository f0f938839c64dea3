// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// envelopeSizes lie around where a length takes one byte more.
var envelopeSizes = []int{0, 1, 127, 128, 129, 16383, 16384, 16385}

func envelopeRequests() []*Request {
	kv := func(key, value string) *KeyValue { return &KeyValue{Key: key, Value: value} }
	all := []*Request{
		{},
		{Service: "s"},
		{Method: "m"},
		{Service: "p.Service", Method: "Method", Payload: []byte{}},
		{TimeoutNano: 1},
		{TimeoutNano: -1},
		{TimeoutNano: math.MaxInt64},
		{TimeoutNano: math.MinInt64},
		{Metadata: []*KeyValue{kv("k", "v")}},
		{Metadata: []*KeyValue{kv("", "")}},
		{Metadata: []*KeyValue{kv("k", "")}},
		{Metadata: []*KeyValue{kv("", "v")}},
		{Metadata: []*KeyValue{kv("b", "1"), kv("a", "2"), kv("b", "1"), kv("B", "3")}},
		{Service: "ü", Method: "日本", Payload: []byte{0xff}, TimeoutNano: 5, Metadata: []*KeyValue{kv("é", "ö")}},
	}
	for _, n := range envelopeSizes {
		text := strings.Repeat("x", n)
		all = append(all,
			&Request{Service: "s", Method: "m", Payload: []byte(text)},
			&Request{Service: text, Method: text, Metadata: []*KeyValue{kv(text, "v"), kv("k", text)}},
			&Request{Metadata: []*KeyValue{kv(text, text)}})
	}
	return all
}

// envelopeRandomRequest returns a Request of which every field may be absent.
func envelopeRandomRequest(r *rand.Rand) *Request {
	text := func() string {
		if r.IntN(4) == 0 {
			return ""
		}
		return strings.Repeat(string(rune('a'+r.IntN(1000))), r.IntN(200))
	}
	req := &Request{Service: text(), Method: text(), Payload: []byte(text())}
	if r.IntN(2) == 0 {
		req.TimeoutNano = int64(r.Uint64()) >> r.IntN(64)
	}
	for range r.IntN(5) {
		req.Metadata = append(req.Metadata, &KeyValue{Key: text(), Value: text()})
	}
	return req
}

func TestEncodeRequest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := envelopeRequests()
	for range 2000 {
		all = append(all, envelopeRandomRequest(r))
	}
	for _, req := range all {
		want, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		h := requestHead{req.Service, req.Method, req.TimeoutNano, req.Metadata}
		if err := h.check(); err != nil {
			t.Fatal(err)
		}
		got := append(h.appendFront(nil, len(req.Payload)), req.Payload...)
		got = h.appendBack(got)
		if !bytes.Equal(got, want) {
			t.Fatalf("B42: a request is not encoded as protobuf does it: %v\n got %x\nwant %x", req, got, want)
		}
		if n := h.size(len(req.Payload)); n != len(want) {
			t.Fatalf("size says %d of the %d bytes of %v", n, len(want), req)
		}
	}
}

func TestEncodeRequestNotUTF8(t *testing.T) {
	const bad = "a\xffb"
	for _, h := range []requestHead{
		{service: bad},
		{method: bad},
		{metadata: []*KeyValue{{Key: bad}}},
		{metadata: []*KeyValue{{Key: "k", Value: "v"}, {Value: bad}}},
	} {
		if err := h.check(); err != errNotUTF8 {
			t.Errorf("text that protobuf refuses passes the check: %q, %v", h, err)
		}
	}
}

func TestEncodeNilMetadata(t *testing.T) {
	req := &Request{Metadata: []*KeyValue{nil}}
	want, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	h := requestHead{metadata: req.Metadata}
	if got := h.appendBack(nil); !bytes.Equal(got, want) || h.size(0) != len(want) || h.check() != nil {
		t.Errorf("B14: an interceptor's nil entry becomes %x of size %d, want %x", got, h.size(0), want)
	}
}

func TestEncodeResponse(t *testing.T) {
	detail, err := anypb.New(&KeyValue{Key: "k", Value: "v"})
	if err != nil {
		t.Fatal(err)
	}
	statuses := []*spb.Status{
		nil,
		{Code: 5},
		{Code: -1, Message: "message", Details: []*anypb.Any{detail, detail}},
		{Message: strings.Repeat("x", 300)},
	}
	for _, st := range statuses {
		for _, n := range envelopeSizes {
			resp := &Response{Status: st, Payload: make([]byte, n)}
			want, err := proto.Marshal(resp)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			got := append(appendResponseFront(nil, encoded, n), resp.Payload...)
			if !bytes.Equal(got, want) {
				t.Errorf("B42: a response is not encoded as protobuf does it: %v, %d bytes\n got %x\nwant %x", st, n, got, want)
			}
			if size := sizeResponse(encoded, n); size != len(want) {
				t.Errorf("size says %d of %d bytes", size, len(want))
			}
		}
	}
}

// envelopeCheckRequest decodes b as we do and as protobuf does.
func envelopeCheckRequest(b []byte) error {
	v, err := parseRequest(b)
	want := new(Request)
	wantErr := proto.Unmarshal(b, want)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		return fmt.Errorf("B10: decoding %x fails with %v, protobuf's with %v", b, err, wantErr)
	}
	if err != nil {
		return nil
	}
	var md MD
	for _, kv := range want.Metadata {
		if md == nil {
			md = MD{}
		}
		md[kv.Key] = append(md[kv.Key], kv.Value)
	}
	if string(v.service) != want.Service || string(v.method) != want.Method || !bytes.Equal(v.payload, want.Payload) ||
		v.timeoutNano != want.TimeoutNano || fmt.Sprintf("%q", v.metadata) != fmt.Sprintf("%q", md) || (v.metadata == nil) != (md == nil) {
		return fmt.Errorf("decoding %x gives %+v, protobuf's %v", b, v, want)
	}
	return nil
}

// envelopeCheckResponse decodes b as we do and as protobuf does.
func envelopeCheckResponse(b []byte) error {
	st, payload, err := parseResponse(b)
	want := new(Response)
	wantErr := proto.Unmarshal(b, want)
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		return fmt.Errorf("decoding %x fails with %v, protobuf's with %v", b, err, wantErr)
	}
	if err != nil {
		return nil
	}
	// Equal tells nil from an empty status, and NaN does not occur.
	if !bytes.Equal(payload, want.Payload) || (st == nil) != (want.Status == nil) || !proto.Equal(st, want.Status) {
		return fmt.Errorf("decoding %x gives %v and %x, protobuf's %v", b, st, payload, want)
	}
	return nil
}

// envelopeWires returns encodings, well-formed or not, that a decoder may trip
// over. Those of requests and of responses have the same field numbers, so
// each is worth trying for both.
func envelopeWires(t testing.TB) [][]byte {
	field := func(num protowire.Number, b string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	varint := func(num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	group := func(num protowire.Number, inside []byte) []byte {
		return join(protowire.AppendTag(nil, num, protowire.StartGroupType), inside, protowire.AppendTag(nil, num, protowire.EndGroupType))
	}
	status := func(code uint64, text string) []byte { return join(varint(1, code), field(2, text)) }
	var all [][]byte
	for num := protowire.Number(1); num <= 37; num++ {
		all = append(all,
			field(num, ""), field(num, "x"), field(num, "\xff"), varint(num, 0), varint(num, math.MaxUint64),
			protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), 7),
			protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), 7),
			group(num, nil), group(num, field(1, "x")), group(num, group(num, varint(2, 3))),
			protowire.AppendTag(nil, num, protowire.StartGroupType),
			protowire.AppendTag(nil, num, protowire.EndGroupType),
			protowire.AppendVarint(nil, uint64(num)<<3|6), protowire.AppendVarint(nil, uint64(num)<<3|7))
	}
	all = append(all,
		field(1, string(status(5, "first"))),
		join(field(1, string(status(5, "first"))), field(2, "payload"), field(1, string(varint(1, 6)))), // merges
		join(field(1, string(field(3, string(field(1, "url"))))), field(1, string(field(3, string(field(2, "value")))))),
		join(field(1, "a"), field(1, "b"), field(2, "c"), field(3, "d"), field(3, ""), varint(4, 1), varint(4, 2)),
		join(field(5, string(join(field(1, "k"), field(1, "l"), field(2, "v")))), field(5, ""), field(5, string(field(9, "unknown")))),
		field(5, string(varint(1, 3))), field(5, string(field(1, "\xff"))), field(5, string(field(2, "\xff"))), field(5, "\x0a\x05short"),
		field(5, string(group(1, field(1, "k")))),
		join(field(100, "unknown"), field(2, "x"), varint(1<<28, 9)),
		group(3, protowire.AppendTag(nil, 4, protowire.EndGroupType)),
		[]byte{0}, []byte{7}, []byte("\x8a\x00\x01x"), // field 0; a tag in two bytes where one would do
		bytes.Repeat([]byte{0xff}, 12),
		[]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), // a length of 2^64 - 1
		[]byte("\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"), // a number over 64 bits
		[]byte("\xfa\xff\xff\xff\x0f\x01x"),                    // the largest field number
		[]byte("\x82\x80\x80\x80\x10\x01x"),                    // the one after it
	)
	for _, m := range []proto.Message{
		&Request{Service: "s", Method: "m", Payload: []byte("payload"), TimeoutNano: -7, Metadata: []*KeyValue{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}}},
		&Response{Status: &spb.Status{Code: 3, Message: "m", Details: []*anypb.Any{{TypeUrl: "t", Value: []byte("v")}}}, Payload: []byte("p")},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestDecodeEnvelopes(t *testing.T) {
	for _, wire := range envelopeWires(t) {
		for n := range len(wire) + 1 { // whole, and cut at every byte
			if err := envelopeCheckRequest(wire[:n:n]); err != nil {
				t.Error("request: ", err)
			}
			if err := envelopeCheckResponse(wire[:n:n]); err != nil {
				t.Error("response:", err)
			}
		}
	}
}

// TestDecodeMalformed checks that nothing comes with an error, and that the
// words are protobuf's and not errMalformed, which stands for a difference.
func TestDecodeMalformed(t *testing.T) {
	for _, wire := range envelopeWires(t) {
		v, err := parseRequest(wire)
		if err == errMalformed || err != nil && (v.service != nil || v.method != nil || v.payload != nil || v.metadata != nil) {
			t.Errorf("B10: decoding request %x gives %+v, %v", wire, v, err)
		}
		st, payload, err := parseResponse(wire)
		if err == errMalformed || err != nil && (st != nil || payload != nil) {
			t.Errorf("decoding response %x gives %v, %x, %v", wire, st, payload, err)
		}
	}
}
