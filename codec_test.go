// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The codecs that there are.
var (
	plain = codec{}
	fast  = codec{vt: true}
)

var errFake = errors.New("fake error")

// A fakeVT is a message with vtprotobuf's methods, which say that they ran.
type fakeVT struct {
	*wrapperspb.BytesValue
	extra int // what SizeVT says too much
	err   error
	calls []string
}

func newFakeVT(value string) *fakeVT { return &fakeVT{BytesValue: wrapperspb.Bytes([]byte(value))} }

func (m *fakeVT) SizeVT() int {
	m.calls = append(m.calls, "SizeVT")
	return proto.Size(m.BytesValue) + m.extra
}

func (m *fakeVT) MarshalToSizedBufferVT(b []byte) (int, error) {
	m.calls = append(m.calls, "MarshalToSizedBufferVT")
	encoded, err := proto.Marshal(m.BytesValue)
	copy(b[len(b)-len(encoded):], encoded)
	return len(encoded), errors.Join(err, m.err)
}

func (m *fakeVT) UnmarshalVT(b []byte) error {
	m.calls = append(m.calls, "UnmarshalVT")
	return errors.Join(proto.UnmarshalOptions{Merge: true}.Unmarshal(b, m.BytesValue), m.err)
}

// A fakeGogo is a message of gogo/protobuf's kind, with a type of the user's
// that keeps what it is given. Its encoding is its value.
type fakeGogo struct {
	value []byte
	extra int // what Size says too much
	err   error
}

func (m *fakeGogo) Reset()         { m.value = nil }
func (m *fakeGogo) String() string { return string(m.value) }
func (m *fakeGogo) ProtoMessage()  {}
func (m *fakeGogo) Size() int      { return len(m.value) + m.extra }

func (m *fakeGogo) MarshalTo(b []byte) (int, error) { return copy(b, m.value), m.err }

func (m *fakeGogo) Unmarshal(b []byte) error {
	if m.value != nil {
		return errors.New("the old content is still there")
	}
	m.value = b
	return m.err
}

// A fakeOld is a message as golang/protobuf generated it before there was
// reflection.
type fakeOld struct {
	Name  string   `protobuf:"bytes,1,opt,name=name,proto3"`
	Count int64    `protobuf:"varint,2,opt,name=count,proto3"`
	Data  []byte   `protobuf:"bytes,3,opt,name=data,proto3"`
	Inner *fakeOld `protobuf:"bytes,4,opt,name=inner,proto3"`
}

func (m *fakeOld) Reset() { *m = fakeOld{} }
func (m *fakeOld) String() string {
	return fmt.Sprintf("%q %d %q %v", m.Name, m.Count, m.Data, m.Inner)
}
func (m *fakeOld) ProtoMessage() {}

// A fakeBroken says that it is a message and has a field that none can have.
type fakeBroken struct {
	C chan int `protobuf:"varint,1,opt,name=c,proto3"`
}

func (m *fakeBroken) Reset()         {}
func (m *fakeBroken) String() string { return "" }
func (m *fakeBroken) ProtoMessage()  {}

// codecEncode encodes msg behind a prefix, in a buffer of just the right size,
// as a frame is.
func codecEncode(c codec, msg any) ([]byte, error) {
	p, err := c.measure(msg)
	if err != nil {
		return nil, err
	}
	const prefix = "prefix"
	b, err := p.append(append(make([]byte, 0, len(prefix)+p.size), prefix...))
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(prefix))
	if !ok || len(rest) != p.size {
		return nil, fmt.Errorf("%q is not the prefix and %d bytes", b, p.size)
	}
	return rest, nil
}

func TestCodecProtobuf(t *testing.T) {
	list, err := structpb.NewList([]any{"a", 1.5, nil, map[string]any{"k": true}})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := anypb.New(durationpb.New(-1500))
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []proto.Message{
		&emptypb.Empty{}, wrapperspb.String(""), wrapperspb.String(strings.Repeat("x", 1000)), wrapperspb.Bytes([]byte{0, 255}),
		wrapperspb.Double(-0.5), list, wrapped, &Request{Service: "s", Metadata: []*KeyValue{{Key: "k"}}},
	} {
		b, err := codecEncode(plain, msg)
		if err != nil {
			t.Fatalf("B44: %T: %v", msg, err)
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil || !bytes.Equal(b, want) {
			t.Errorf("B44: %T is encoded as %x, want %x (%v)", msg, b, want, err)
		}
		got := msg.ProtoReflect().New().Interface()
		if err := plain.unmarshal(b, got); err != nil || !proto.Equal(got, msg) {
			t.Errorf("B44: %T is decoded as %v, %v; want %v", msg, got, err, msg)
		}
	}
}

func TestCodecNil(t *testing.T) {
	for _, msg := range []any{(*wrapperspb.StringValue)(nil), (*fakeGogo)(nil), (*fakeOld)(nil)} {
		if b, err := codecEncode(plain, msg); err != nil || len(b) != 0 {
			t.Errorf("a nil %T is encoded as %x, %v; want no bytes", msg, b, err)
		}
	}
}

// TestCodecUnknownTypes holds the texts that callers see.
func TestCodecUnknownTypes(t *testing.T) {
	for _, msg := range []any{nil, 42, "text", []byte("b"), struct{}{}, &struct{ A int }{}, errFake, wrapperspb.StringValue{}.Value} {
		want := fmt.Sprintf("ttrpc: cannot marshal unknown type: %T", msg)
		if _, err := plain.measure(msg); fmt.Sprint(err) != want {
			t.Errorf("B44: measure says %v, want %s", err, want)
		}
		want = fmt.Sprintf("ttrpc: cannot unmarshal into unknown type: %T", msg)
		if err := plain.unmarshal(nil, msg); fmt.Sprint(err) != want {
			t.Errorf("B44: unmarshal says %v, want %s", err, want)
		}
	}
}

// TestCodecPanics checks that a type that only looks like a message does not
// end the program.
func TestCodecPanics(t *testing.T) {
	want := "ttrpc: cannot marshal unknown type: *ttrpc.fakeBroken ("
	if _, err := plain.measure(new(fakeBroken)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("B44: measure says %v, want %s…", err, want)
	}
	want = "ttrpc: cannot unmarshal into unknown type: *ttrpc.fakeBroken ("
	if err := plain.unmarshal([]byte("\x0a\x01x"), new(fakeBroken)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("B44: unmarshal says %v, want %s…", err, want)
	}
}

func TestCodecVT(t *testing.T) {
	m := newFakeVT("value")
	b, err := codecEncode(fast, m)
	if want := "\x0a\x05value"; err != nil || string(b) != want {
		t.Errorf("B44: got %q, %v; want %q", b, err, want)
	}
	if err := fast.unmarshal([]byte("\x0a\x03new"), m); err != nil || string(m.Value) != "new" {
		t.Errorf("B44: decoded %q, %v", m.Value, err)
	}
	if err := fast.unmarshal(nil, m); err != nil || len(m.Value) != 0 {
		t.Errorf("the old content of a vtprotobuf message is left: %q, %v", m.Value, err)
	}
	if got, want := fmt.Sprint(m.calls), "[SizeVT MarshalToSizedBufferVT UnmarshalVT UnmarshalVT]"; got != want {
		t.Errorf("B44: vtprotobuf's fast paths: %s were called, want %s", got, want)
	}
}

// TestCodecVTByChoice holds that without the option a message is no different for the
// methods that vtprotobuf has generated.
func TestCodecVTByChoice(t *testing.T) {
	m := newFakeVT("value")
	b, err := codecEncode(plain, m)
	if want := "\x0a\x05value"; err != nil || string(b) != want {
		t.Errorf("B44: got %q, %v; want %q", b, err, want)
	}
	if err := plain.unmarshal([]byte("\x0a\x03new"), m); err != nil || string(m.Value) != "new" {
		t.Errorf("B44: decoded %q, %v", m.Value, err)
	}
	if len(m.calls) > 0 {
		t.Errorf("B44: vtprotobuf's methods were called without the option: %s", m.calls)
	}
	text := newVTString("\xff")
	if _, err := codecEncode(plain, text); err == nil || !strings.Contains(err.Error(), "invalid UTF-8") {
		t.Errorf("B44: text that is not UTF-8 is encoded, with vtprotobuf's methods there: %v", err)
	}
	if err := plain.unmarshal([]byte("\x0a\x01\xff"), text); err == nil || !strings.Contains(err.Error(), "invalid UTF-8") {
		t.Errorf("B44: text that is not UTF-8 is decoded, with vtprotobuf's methods there: %v", err)
	}
}

// TestCodecCachedSizes holds that a message that was sent is, field for field, what
// proto.Marshal leaves: there are tests that compare such messages.
func TestCodecCachedSizes(t *testing.T) {
	sent, marshalled := nestedMessage(), nestedMessage()
	if _, err := codecEncode(plain, sent); err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(sent, marshalled) {
		t.Fatal("the message caches no size")
	}
	if _, err := proto.Marshal(marshalled); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sent, marshalled) {
		t.Error("B44: encoding leaves other sizes in a message than proto.Marshal")
	}
}

// nestedMessage returns a message in messages.
func nestedMessage() *Request {
	return &Request{Service: "s", Metadata: []*KeyValue{{Key: "k", Value: "v"}, {}}}
}

func TestCodecGogo(t *testing.T) {
	m := &fakeGogo{value: []byte("not protobuf")}
	b, err := codecEncode(plain, m)
	if err != nil || string(b) != "not protobuf" {
		t.Errorf("B44: got %q, %v; want what MarshalTo wrote", b, err)
	}
	if err := plain.unmarshal([]byte("new"), m); err != nil || string(m.value) != "new" {
		t.Errorf("B44: decoded %q, %v", m.value, err)
	}
}

func TestCodecOld(t *testing.T) {
	m := &fakeOld{Name: "n", Count: -1, Data: []byte("d"), Inner: &fakeOld{Name: "in"}}
	b, err := codecEncode(plain, m)
	want := "\x0a\x01n\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01d\x22\x04\x0a\x02in"
	if err != nil || string(b) != want {
		t.Fatalf("B44: an old message is encoded as %q, %v; want %q", b, err, want)
	}
	got := &fakeOld{Count: 5, Inner: m}
	if err := plain.unmarshal(b, got); err != nil || got.String() != m.String() {
		t.Errorf("B44: an old message is decoded as %v, %v; want %v", got, err, m)
	}
	if err := plain.unmarshal(nil, got); err != nil || got.String() != new(fakeOld).String() {
		t.Errorf("the old content of an old message is left: %v, %v", got, err)
	}
	if err := plain.unmarshal([]byte("\xff"), got); err == nil {
		t.Error("what does not parse is decoded into an old message without an error")
	}
}

// An ownMemoryOld does not append to what it is given, as hand-written ones may.
type ownMemoryOld struct{ *fakeOld }

//lint:ignore ST1003 the name is the interface's
func (ownMemoryOld) XXX_Size() int { return len("own") }

//lint:ignore ST1003 the name is the interface's
func (ownMemoryOld) XXX_Marshal([]byte, bool) ([]byte, error) { return []byte("own"), nil }

//lint:ignore ST1003 the name is the interface's
func (ownMemoryOld) XXX_Unmarshal([]byte) error { return nil }

func TestCodecOwnMemory(t *testing.T) {
	f, err := plain.dataFrame(ownMemoryOld{new(fakeOld)}, messageLengthMax)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.data, frameBytes(0, messageTypeData, 0, []byte("own"))) {
		t.Errorf("B44: the frame is %q", f.data)
	}
}

func TestCodecErrors(t *testing.T) {
	vt, gogo := newFakeVT("value"), &fakeGogo{value: []byte("value")}
	vt.err, gogo.err = errFake, errFake
	for _, msg := range []any{vt, gogo} {
		if _, err := codecEncode(fast, msg); !errors.Is(err, errFake) {
			t.Errorf("encoding %T: %v, want its own error", msg, err)
		}
		if err := fast.unmarshal(nil, msg); !errors.Is(err, errFake) {
			t.Errorf("decoding %T: %v, want its own error", msg, err)
		}
	}
	if _, err := codecEncode(fast, wrapperspb.String("\xff")); err == nil || !strings.Contains(err.Error(), "invalid UTF-8") {
		t.Errorf("encoding text that is not UTF-8: %v, want protobuf's error", err)
	}
	if err := fast.unmarshal([]byte("\x0a\x05x"), new(wrapperspb.StringValue)); err == nil {
		t.Error("half a message is decoded without an error")
	}
}

// TestCodecSizeChanges checks that no frame leaves whose length is wrong.
func TestCodecSizeChanges(t *testing.T) {
	vt, gogo := newFakeVT("value"), &fakeGogo{value: []byte("value")}
	vt.extra, gogo.extra = 1, 1
	for _, msg := range []any{vt, gogo} {
		want := fmt.Sprintf("ttrpc: %T changed while it was encoded", msg)
		if _, err := codecEncode(fast, msg); fmt.Sprint(err) != want {
			t.Errorf("a size that is too large: %v, want %s", err, want)
		}
	}
	for _, msg := range []*wrapperspb.StringValue{wrapperspb.String("long"), wrapperspb.String("a")} {
		p, err := fast.measure(msg)
		if err != nil {
			t.Fatal(err)
		}
		msg.Value = "other"
		want := fmt.Sprintf("ttrpc: %T changed while it was encoded", msg)
		if _, err := p.append(nil); fmt.Sprint(err) != want {
			t.Errorf("a message that changes: %v, want %s", err, want)
		}
	}
}

// TestCodecKeepsNothing decodes from memory that is used again afterwards.
func TestCodecKeepsNothing(t *testing.T) {
	const encoded = "\x0a\x05value"
	bytesValue, vt, gogo, old := new(wrapperspb.BytesValue), newFakeVT(""), new(fakeGogo), new(fakeOld)
	values := map[any]func() string{
		bytesValue: func() string { return string(bytesValue.Value) },
		vt:         func() string { return string(vt.Value) },
		gogo:       func() string { return string(bytes.TrimPrefix(gogo.value, []byte("\x0a\x05"))) },
		old:        func() string { return old.Name },
	}
	for msg, value := range values {
		b := []byte(encoded)
		if err := fast.unmarshal(b, msg); err != nil {
			t.Fatal(err)
		}
		clear(b)
		if got := value(); got != "value" {
			t.Errorf("%T keeps the memory it was decoded from: %q", msg, got)
		}
	}
	gogo.value = []byte("value")
	b, err := codecEncode(fast, gogo)
	if err != nil {
		t.Fatal(err)
	}
	clear(gogo.value)
	if string(b) != "value" {
		t.Errorf("the encoding shares memory with the message: %q", b)
	}
}
