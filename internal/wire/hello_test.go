// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// unhex decodes the example of a document.
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
	want := Hello{Version: 1, Files: true, MaxMessage: 16 << 20, Window: 256 << 10, ConnectionWindow: 32 << 20, Serves: true}
	b := unhex(t, "0801120566696c657318808080082080801028808080103001")
	if got, err := ParseHello(b); err != nil || got != want {
		t.Errorf("B46: the example says %+v, %v", got, err)
	}
	if got := want.Append(nil); string(got) != string(b) {
		t.Errorf("B46: %x, want %x", got, b)
	}
	request := unhex(t, "0a1e74747270632e657874656e73696f6e732e76312e436f6e6e656374696f6e120548656c6c6f1a19")
	if got := HelloRequest(b); string(got) != string(request)+string(b) {
		t.Errorf("B46: the request is %x, want %x", got, request)
	}
}

// TestIsHello holds what a Hello's request begins with.
func TestIsHello(t *testing.T) {
	whole := HelloRequest(nil)
	for n := range whole {
		if IsHello(whole[:n]) {
			t.Errorf("B46: %d of %d bytes are a Hello", n, len(whole))
		}
	}
	if !IsHello(whole) || !IsHello(HelloRequest([]byte{0xff})) {
		t.Error("B46: a Hello is none")
	}
	for _, r := range []Request{{}, {Service: HelloService, Method: "Hullo"}, {Service: "s", Method: HelloMethod}} {
		if IsHello(r.Append(nil)) {
			t.Errorf("B46: %+v is a Hello", r)
		}
	}
}

func TestHelloParsing(t *testing.T) {
	h := Hello{Version: 1, MaxMessage: 4 << 20, Window: 256 << 10, ConnectionWindow: 32 << 20, Serves: true}
	valid := h.Append(nil)
	for i := range valid {
		if got, err := ParseHello(valid[:i]); err == nil && (i < len(valid)-2 || got.Serves) {
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
		want   *Hello
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
		"the least":            {[][]byte{field(1, 1), limit, window, all}, &Hello{1, false, false, 1, 1, 1, false}},
		"any order":            {[][]byte{all, limit, field(1, 1), window}, &Hello{1, false, false, 1, 1, 1, false}},
		"the last counts":      {[][]byte{field(1, 1), limit, field(3, 7), window, all}, &Hello{1, false, false, 7, 1, 1, false}},
		"a later version":      {[][]byte{field(1, 7), limit, window, all}, &Hello{7, false, false, 1, 1, 1, false}},
		"serves as 2":          {[][]byte{field(1, 1), limit, window, all, field(6, 2)}, &Hello{1, false, false, 1, 1, 1, true}},
		"unknown fields":       {[][]byte{field(1, 1), limit, field(7, 9), text(15, "x"), text(1000, "y"), field(16, 3), window, all}, &Hello{1, false, false, 1, 1, 1, false}},
		"unknown types":        {[][]byte{field(1, 1), limit, text(3, "x"), field(2, 5), window, all}, &Hello{1, false, false, 1, 1, 1, false}},
		"unknown features":     {[][]byte{field(1, 1), text(2, "example.com/zstd"), text(2, ""), text(2, "Files"), limit, window, all}, &Hello{1, false, false, 1, 1, 1, false}},
		"files among others":   {[][]byte{field(1, 1), text(2, "x"), text(2, "files"), text(2, "y"), limit, window, all}, &Hello{1, true, false, 1, 1, 1, false}},
		"metadata alone":       {[][]byte{field(1, 1), text(2, "metadata"), limit, window, all}, &Hello{1, false, true, 1, 1, 1, false}},
		"both features":        {[][]byte{field(1, 1), text(2, "metadata"), text(2, "files"), limit, window, all}, &Hello{1, true, true, 1, 1, 1, false}},
		"the largest":          {[][]byte{field(1, math.MaxUint64), field(3, math.MaxUint64), field(4, math.MaxUint64), field(5, math.MaxUint64)}, &Hello{math.MaxUint32, false, false, math.MaxUint64, math.MaxUint64, math.MaxUint64, false}},
	} {
		got, err := ParseHello(bytes.Join(test.fields, nil))
		switch {
		case test.want == nil && err == nil:
			t.Errorf("B46: %s is taken for %+v", name, got)
		case test.want != nil && (err != nil || got != *test.want):
			t.Errorf("B46: %s: %+v, %v, want %+v", name, got, err, *test.want)
		}
	}
}

// helloDescriptor is the message Hello of PROTOCOL.md, for protobuf's own decoder.
func helloDescriptor(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("hello.proto"), Syntax: proto.String("proto3")}
	m := &descriptorpb.DescriptorProto{Name: proto.String("Hello")}
	for i, name := range []string{"version", "features", "max_message", "window", "connection_window", "serves"} {
		typ, label := descriptorpb.FieldDescriptorProto_TYPE_UINT64, descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		switch name {
		case "version":
			typ = descriptorpb.FieldDescriptorProto_TYPE_UINT32
		case "features":
			typ, label = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		case "serves":
			typ = descriptorpb.FieldDescriptorProto_TYPE_BOOL
		}
		m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: &name, Number: proto.Int32(int32(i + 1)), Type: &typ, Label: &label})
	}
	file.MessageType = append(file.MessageType, m)
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Messages().Get(0)
}

// FuzzHello compares our decoder of Hello with protobuf's (B46).
func FuzzHello(f *testing.F) {
	descriptor := helloDescriptor(f)
	all := Hello{Version: 1, Files: true, Metadata: true, MaxMessage: 1 << 40, Window: 1, ConnectionWindow: 2, Serves: true}
	for _, h := range []Hello{{}, {Version: 1}, {Version: 1, MaxMessage: 50000, Window: 4 << 10, ConnectionWindow: 24 << 10, Serves: true}, all} {
		f.Add(h.Append(nil))
	}
	f.Add([]byte("\x08\x01\x12\x01\xff\x18\x01 \x01(\x01"))     // a feature that is no UTF-8
	f.Add([]byte("\x08\x80\x80\x80\x80\x10\x18\x01 \x01(\x01")) // a version of 2^32
	f.Add([]byte("\x08\x01\x08\x02\x18\x01 \x01(\x010\x02B"))   // given twice, a bool of 2, cut
	f.Fuzz(func(t *testing.T, b []byte) {
		want := dynamicpb.NewMessage(descriptor)
		wantErr := proto.Unmarshal(b, want)
		number := func(i protoreflect.FieldNumber) uint64 {
			return want.Get(descriptor.Fields().ByNumber(i)).Uint()
		}
		if wantErr == nil && (number(1) == 0 || number(3) == 0 || number(4) == 0 || number(5) == 0) {
			wantErr = ErrMalformed // for us
		}
		got, err := ParseHello(b)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("B46: %x: %v, want %v", b, err, wantErr)
		}
		if err != nil {
			return
		}
		features := want.Get(descriptor.Fields().ByNumber(2)).List()
		files, metadata := false, false
		for i := range features.Len() {
			files = files || features.Get(i).String() == FeatureFiles
			metadata = metadata || features.Get(i).String() == FeatureMetadata
		}
		wanted := Hello{uint32(number(1)), files, metadata, number(3), number(4), number(5), want.Get(descriptor.Fields().ByNumber(6)).Bool()}
		if got != wanted {
			t.Errorf("B46: %x is %+v, want %+v", b, got, wanted)
		}
		if again, err := ParseHello(got.Append(nil)); err != nil || again != got {
			t.Errorf("B46: %+v becomes %+v, %v", got, again, err)
		}
	})
}
