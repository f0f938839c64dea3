// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"fmt"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

// Byte by byte envelopes are tested in internal/wire. What is here is what this
// package makes of them.

func TestEncodeRequest(t *testing.T) {
	kv := func(key, value string) *KeyValue { return &KeyValue{Key: key, Value: value} }
	for _, req := range []*Request{
		{},
		{Service: "s", Method: "m", Payload: []byte("payload")},
		{Service: "s", TimeoutNano: -1, Metadata: []*KeyValue{kv("b", "1"), kv("a", ""), kv("", "2")}},
	} {
		want, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		h := requestHead{req.Service, req.Method, req.TimeoutNano, req.Metadata, nil}
		got := h.appendBack(append(h.appendFront(nil, len(req.Payload)), req.Payload...))
		if !bytes.Equal(got, want) || h.size(len(req.Payload)) != len(want) || h.check() != nil {
			t.Errorf("B42: %v becomes %x of size %d, %v, want %x", req, got, h.size(len(req.Payload)), h.check(), want)
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

// TestDecodeRequest holds that the values of a key keep their order.
func TestDecodeRequest(t *testing.T) {
	r := wire.Request{Service: "s", Method: "m", Payload: []byte("p"), TimeoutNano: 5}
	if v, err := parseRequest(r.Append(nil)); err != nil || v.metadata != nil || fmt.Sprintf("%s %s %s %d", v.service, v.method, v.payload, v.timeoutNano) != "s m p 5" {
		t.Errorf("decoded are %+v, %v", v, err)
	}
	r.Metadata = []wire.KeyValue{{Key: "k", Value: "2"}, {Key: "l"}, {Key: "k", Value: "1"}, {Key: "k", Value: "2"}}
	if v, err := parseRequest(r.Append(nil)); err != nil || fmt.Sprintf("%q", v.metadata) != `map["k":["2" "1" "2"] "l":[""]]` {
		t.Errorf("B14: the metadata is %q, %v", v.metadata, err)
	}
}

// TestDecodeResponse holds that a status given twice is merged, as protobuf does it.
func TestDecodeResponse(t *testing.T) {
	first := wire.Response{Status: encode(t, &spb.Status{Code: 5, Message: "first"})}.Append(nil)
	second := wire.Response{Status: encode(t, &spb.Status{Code: 6}), Payload: []byte("p")}.Append(nil)
	st, payload, err := parseResponse(append(first, second...))
	if err != nil || st.GetCode() != 6 || st.GetMessage() != "first" || string(payload) != "p" {
		t.Errorf("decoded are %v, %q, %v", st, payload, err)
	}
	if st, payload, err := parseResponse(nil); st != nil || payload != nil || err != nil {
		t.Errorf("decoded are %v, %q, %v", st, payload, err)
	}
}

// TestDecodeMalformed checks that nothing comes with an error, and that the
// words are protobuf's.
func TestDecodeMalformed(t *testing.T) {
	words := func(b []byte, m proto.Message) string { return fmt.Sprint(proto.Unmarshal(b, m)) }
	for name, b := range map[string][]byte{
		"noise":         {0xff},
		"a cut one":     wire.Request{Service: "service"}.Append(nil)[:5],
		"a service":     wire.Request{Service: "\xff"}.Append(nil),
		"a method":      wire.Request{Method: "\xff"}.Append(nil),
		"a key":         wire.Request{Metadata: []wire.KeyValue{{Key: "\xff"}}}.Append(nil),
		"a value":       wire.Request{Metadata: []wire.KeyValue{{Key: "k", Value: "v"}, {Value: "\xff"}}}.Append(nil),
		"a cut request": wire.Request{Payload: []byte("payload"), Metadata: []wire.KeyValue{{Key: "k", Value: "v"}}}.Append(nil)[:13],
	} {
		v, err := parseRequest(b)
		if want := words(b, new(Request)); err == nil || err == errMalformed || err.Error() != want || v.service != nil || v.method != nil || v.payload != nil || v.metadata != nil {
			t.Errorf("B10: %s: %+v, %v, want %s", name, v, err, want)
		}
	}
	for name, b := range map[string][]byte{
		"noise":          {0xff},
		"a cut one":      wire.Response{Payload: []byte("payload")}.Append(nil)[:5],
		"a status":       wire.Response{Status: []byte{0xff}, Payload: []byte("p")}.Append(nil),
		"status's text":  wire.Response{Status: []byte("\x12\x01\xff")}.Append(nil),
		"half of it":     append(wire.Response{Status: []byte("\x08")}.Append(nil), wire.Response{Status: []byte("\x05")}.Append(nil)...),
		"a second's end": append(wire.Response{Status: []byte("\x08\x05")}.Append(nil), wire.Response{Status: []byte("\x08")}.Append(nil)...),
	} {
		st, payload, err := parseResponse(b)
		if want := words(b, new(Response)); err == nil || err == errMalformed || err.Error() != want || st != nil || payload != nil {
			t.Errorf("%s: %v, %x, %v, want %s", name, st, payload, err, want)
		}
	}
}
