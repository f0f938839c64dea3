// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package message

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/typepb"
)

// FuzzJSON holds that JSON with Any values, once read, is written and read again to the same
// message, and that no token of hidden values is left anywhere.
func FuzzJSON(f *testing.F) { // B173, B177
	for _, seed := range []string{
		`{"name":"a","value":{"@type":"x/1/Y","value":{"a":[1e400,"b"]}}}`,
		`{"value":{"@type":"google.protobuf.Struct","value":{"a":{"@type":"x/1/Y","value":[1]}}}}`,
		`{"value":{"@type":"google.protobuf.Option","value":{"@type":"x.y/Z","value":"CAE="}}}`,
		`{"value":{"@type":"","value":"CAE"}}`, `{"value":{"value":{},"@type":"x","@type":"y"}}`,
		"{\"value\":{\"value\":\n{}\n,\"@type\":\"x\"},\n\"nam\":1}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, m := range []proto.Message{new(typepb.Option), new(structpb.Struct)} {
			if compact().Unmarshal([]byte(in), m) != nil {
				continue
			}
			if strings.Contains(m.(interface{ String() string }).String(), `"any-`) && !strings.Contains(in, "any-") {
				t.Errorf("a token is left in %v", m)
			}
			out, err := compact().Marshal(m)
			if err != nil {
				continue // protojson reads what it does not write, 1e400 in a Struct for example
			}
			again := m.ProtoReflect().New().Interface()
			if err := compact().Unmarshal(out, again); err != nil {
				t.Fatalf("%s was written, and is not read: %v", out, err)
			}
			twice, err := compact().Marshal(again)
			if err != nil || string(twice) != string(out) {
				t.Errorf("%s was written again as %s, %v", out, twice, err)
			}
		}
	})
}

// FuzzAny holds that an Any of any content is written, if only in base64, and that it comes back
// unless its type is known and its value is not of that type.
func FuzzAny(f *testing.F) { // B173
	f.Add("x/1/Y", []byte(`{"a":1}`))
	f.Add("google.protobuf.Option", []byte("\x0a\x01a\x12\x05\x0a\x03x.y"))
	f.Add("google.protobuf.Duration", []byte("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x10"))
	f.Add("google.protobuf.Value", []byte("\x11\x00\x00\x00\x00\x00\x00\xf0\x7f"))
	f.Add("", []byte{8})
	f.Fuzz(func(t *testing.T, url string, value []byte) {
		m := &typepb.Option{Name: "n", Value: &anypb.Any{TypeUrl: url, Value: value}}
		if _, err := proto.Marshal(m); err != nil {
			return // a type that is no UTF-8
		}
		out, err := compact().Marshal(m)
		if err != nil {
			t.Fatalf("%v is not written: %v", m, err)
		}
		again := new(typepb.Option)
		if err := compact().Unmarshal(out, again); err != nil {
			if newAnys(compact().Types).knows(url) || url == "" && len(value) == 0 {
				return
			}
			t.Fatalf("%s was written, and is not read: %v", out, err)
		}
		if !newAnys(compact().Types).knows(url) && !isTree(value) && !proto.Equal(m, again) {
			t.Errorf("%v came back as %v", m, again)
		}
	})
}

// FuzzTree holds that any bytes make a tree, of a size in proportion.
func FuzzTree(f *testing.F) { // B175, B177
	f.Add([]byte("\x0a\x03abc\x10\x01\x1b\x08\x01\x1c"))
	f.Add([]byte(strings.Repeat("\x0b", 200)))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		if out := Tree(data); len(out) > 1000+300*len(data) || len(data) > 0 && !strings.HasSuffix(out, "\n") {
			t.Errorf("%x became %d bytes", data, len(out))
		}
	})
}
