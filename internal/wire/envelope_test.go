// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/wire"
)

// envelopeSizes lie around where a length takes one byte more.
var envelopeSizes = []int{0, 1, 127, 128, 129, 16383, 16384, 16385}

func envelopeRequests() []*ttrpc.Request {
	kv := func(key, value string) *ttrpc.KeyValue { return &ttrpc.KeyValue{Key: key, Value: value} }
	all := []*ttrpc.Request{
		{},
		{Service: "s"},
		{Method: "m"},
		{Service: "p.Service", Method: "Method", Payload: []byte{}},
		{TimeoutNano: 1},
		{TimeoutNano: -1},
		{TimeoutNano: math.MaxInt64},
		{TimeoutNano: math.MinInt64},
		{Metadata: []*ttrpc.KeyValue{kv("k", "v")}},
		{Metadata: []*ttrpc.KeyValue{kv("", "")}},
		{Metadata: []*ttrpc.KeyValue{kv("k", "")}},
		{Metadata: []*ttrpc.KeyValue{kv("", "v")}},
		{Metadata: []*ttrpc.KeyValue{kv("b", "1"), kv("a", "2"), kv("b", "1"), kv("B", "3")}},
		{Service: "ü", Method: "日本", Payload: []byte{0xff}, TimeoutNano: 5, Metadata: []*ttrpc.KeyValue{kv("é", "ö")}},
	}
	for _, n := range envelopeSizes {
		text := strings.Repeat("x", n)
		all = append(all,
			&ttrpc.Request{Service: "s", Method: "m", Payload: []byte(text)},
			&ttrpc.Request{Service: text, Method: text, Metadata: []*ttrpc.KeyValue{kv(text, "v"), kv("k", text)}},
			&ttrpc.Request{Metadata: []*ttrpc.KeyValue{kv(text, text)}})
	}
	return all
}

// envelopeRandomRequest returns a Request of which every field may be absent.
func envelopeRandomRequest(r *rand.Rand) *ttrpc.Request {
	text := func() string {
		if r.IntN(4) == 0 {
			return ""
		}
		return strings.Repeat(string(rune('a'+r.IntN(1000))), r.IntN(200))
	}
	req := &ttrpc.Request{Service: text(), Method: text(), Payload: []byte(text())}
	if r.IntN(2) == 0 {
		req.TimeoutNano = int64(r.Uint64()) >> r.IntN(64)
	}
	for range r.IntN(5) {
		req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: text(), Value: text()})
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
		r := wire.Request{Service: req.Service, Method: req.Method, Payload: req.Payload, TimeoutNano: req.TimeoutNano}
		size := wire.SizeRequest(r.Service, r.Method, len(r.Payload), r.TimeoutNano)
		for _, kv := range req.Metadata {
			r.Metadata = append(r.Metadata, wire.KeyValue{Key: kv.Key, Value: kv.Value})
			size += wire.SizeMetadata(kv.Key, kv.Value)
		}
		if got := r.Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("B42: a request is not encoded as protobuf does it: %v\n got %x\nwant %x", req, got, want)
		}
		if size != len(want) {
			t.Fatalf("the size is %d of the %d bytes of %v", size, len(want), req)
		}
	}
}

func TestEncodeResponse(t *testing.T) {
	detail, err := anypb.New(&ttrpc.KeyValue{Key: "k", Value: "v"})
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
			resp := &ttrpc.Response{Status: st, Payload: make([]byte, n)}
			want, err := proto.Marshal(resp)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := proto.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			got := wire.Response{Status: encoded, Payload: resp.Payload}.Append(nil)
			if !bytes.Equal(got, want) {
				t.Errorf("B42: a response is not encoded as protobuf does it: %v, %d bytes\n got %x\nwant %x", st, n, got, want)
			}
			if size := wire.SizeResponse(encoded, n); size != len(want) {
				t.Errorf("size says %d of %d bytes", size, len(want))
			}
		}
	}
}

// checkRequest decodes b as we do and as protobuf does.
func checkRequest(b []byte) error {
	var metadata []string
	v, err := wire.ParseRequest(b, func(key, value []byte) { metadata = append(metadata, string(key), string(value)) })
	want := new(ttrpc.Request)
	if wantErr := proto.Unmarshal(b, want); err != nil || wantErr != nil {
		if err != wire.ErrMalformed || wantErr == nil || v.Service != nil || v.Method != nil || v.Payload != nil {
			return fmt.Errorf("B10: decoding %x gives %+v, %v, protobuf's %v", b, v, err, wantErr)
		}
		return nil
	}
	var pairs []string
	for _, kv := range want.Metadata {
		pairs = append(pairs, kv.Key, kv.Value)
	}
	if string(v.Service) != want.Service || string(v.Method) != want.Method || !bytes.Equal(v.Payload, want.Payload) ||
		v.TimeoutNano != want.TimeoutNano || !slices.Equal(metadata, pairs) {
		return fmt.Errorf("decoding %x gives %+v, %q, protobuf's %v", b, v, metadata, want)
	}
	return nil
}

// checkResponse decodes b as we do and as protobuf does.
func checkResponse(b []byte) error {
	r, err := wire.ParseResponse(b)
	var st *spb.Status
	if err == nil && r.Status != nil {
		st = new(spb.Status)
		err = proto.Unmarshal(r.Status, st)
	} else if err != nil && (err != wire.ErrMalformed || r.Status != nil || r.Payload != nil) {
		return fmt.Errorf("decoding %x gives %+v, %v", b, r, err)
	}
	want := new(ttrpc.Response)
	if wantErr := proto.Unmarshal(b, want); (err != nil) != (wantErr != nil) {
		return fmt.Errorf("decoding %x fails with %v, protobuf's with %v", b, err, wantErr)
	} else if err != nil {
		return nil
	}
	// Equal tells nil from an empty status, and NaN does not occur.
	if !bytes.Equal(r.Payload, want.Payload) || (st == nil) != (want.Status == nil) || !proto.Equal(st, want.Status) {
		return fmt.Errorf("decoding %x gives %v and %x, protobuf's %v", b, st, r.Payload, want)
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
		join(field(1, ""), field(1, string(status(7, "then")))),
		join(field(1, "\x12\x02"), field(1, "\x08\x05")), // pieces that are whole only together
		join(field(1, "\x08\x05"), field(1, "\x12\x02"), field(1, "\x08\x05")),
		join(field(1, string(status(5, ""))), field(1, "\x08")), // the second is none
		join(field(1, string(status(5, ""))), field(1, string(status(6, "\xff")))),
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
		&ttrpc.Request{Service: "s", Method: "m", Payload: []byte("payload"), TimeoutNano: -7, Metadata: []*ttrpc.KeyValue{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}}},
		&ttrpc.Response{Status: &spb.Status{Code: 3, Message: "m", Details: []*anypb.Any{{TypeUrl: "t", Value: []byte("v")}}}, Payload: []byte("p")},
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
	for _, b := range envelopeWires(t) {
		for n := range len(b) + 1 { // whole, and cut at every byte
			if err := checkRequest(b[:n:n]); err != nil {
				t.Error("request: ", err)
			}
			if err := checkResponse(b[:n:n]); err != nil {
				t.Error("response:", err)
			}
		}
	}
}

// FuzzParseRequest compares our decoder with protobuf's.
func FuzzParseRequest(f *testing.F) { fuzzEnvelope(f, checkRequest) }

// FuzzParseResponse compares our decoder with protobuf's.
func FuzzParseResponse(f *testing.F) { fuzzEnvelope(f, checkResponse) }

func fuzzEnvelope(f *testing.F, check func(b []byte) error) {
	for _, b := range envelopeWires(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := check(b); err != nil {
			t.Fatal(err)
		}
	})
}

// TestManyPieces holds that a status in many pieces takes no time by their square.
func TestManyPieces(t *testing.T) {
	const pieces = 1 << 20
	b := bytes.Repeat([]byte("\x0a\x02\x08\x01"), pieces)
	r, err := wire.ParseResponse(b)
	if err != nil || len(r.Status) != 2*pieces {
		t.Errorf("a status of %d bytes, %v", len(r.Status), err)
	}
	if string(b[:4]) != "\x0a\x02\x08\x01" || string(b[4:8]) != "\x0a\x02\x08\x01" {
		t.Errorf("what was parsed has changed: % x", b[:8])
	}
}

// TestResponseCode holds that the code is found wherever encoders may put it.
func TestResponseCode(t *testing.T) {
	for in, want := range map[string]uint32{
		"": 0, "\x12\x01x": 0, "\x0a\x00": 0, "\x0a\x02\x08\x05": 5, "\x0a\x05\x12\x01m\x08\x05": 5,
		"\x12\x01x\x0a\x02\x08\x05": 5, "\x0a\x02\x08\x05\x0a\x02\x08\x07": 7, "\x08\x05": 0, "\xff": 0,
	} {
		if got := wire.ResponseCode([]byte(in)); got != want {
			t.Errorf("%x has the code %d, want %d", in, got, want)
		}
	}
}

// TestFrontOfRequest cuts a request at every byte.
func TestFrontOfRequest(t *testing.T) {
	b := wire.Request{Service: "s.S", Method: "M", Payload: []byte("payload")}.Append(nil)
	for n := range len(b) + 1 {
		service, method := wire.FrontOfRequest(b[:n])
		if (string(service) == "s.S") != (n >= 5) || (string(method) == "M") != (n >= 8) || n < 5 && service != nil || n < 8 && method != nil {
			t.Errorf("%d bytes have %q and %q", n, service, method)
		}
	}
}
