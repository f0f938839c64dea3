// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"bytes"
	"testing"
	"testing/synctest"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// extFuzzHello is what a raw peer says of itself.
var extFuzzHello = hello{version: 1, maxMessage: extFuzzLimit, window: 4 << 10, connectionWindow: 24 << 10, serves: true}

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
	all := hello{version: 1, files: true, maxMessage: 1 << 40, window: 1, connectionWindow: 2, serves: true}
	for _, h := range []hello{{}, {version: 1}, extFuzzHello, all} {
		f.Add(h.append(nil))
	}
	f.Add([]byte("\x08\x01\x12\x01\xff\x18\x01 \x01(\x01"))   // a feature that is no UTF-8
	f.Add([]byte("\x08\x01\x08\x02\x18\x01 \x01(\x010\x02B")) // given twice, a bool of 2, cut
	f.Fuzz(func(t *testing.T, b []byte) {
		want := dynamicpb.NewMessage(descriptor)
		wantErr := proto.Unmarshal(b, want)
		number := func(i protoreflect.FieldNumber) uint64 {
			return want.Get(descriptor.Fields().ByNumber(i)).Uint()
		}
		if wantErr == nil && (number(1) == 0 || number(3) == 0 || number(4) == 0 || number(5) == 0) {
			wantErr = errMalformed // for us
		}
		got, err := parseHello(b)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("B46: %x: %v, want %v", b, err, wantErr)
		}
		if err != nil {
			return
		}
		features := want.Get(descriptor.Fields().ByNumber(2)).List()
		files := false
		for i := range features.Len() {
			files = files || features.Get(i).String() == featureFiles
		}
		wanted := hello{number(1), files, number(3), number(4), number(5), want.Get(descriptor.Fields().ByNumber(6)).Bool()}
		if got != wanted {
			t.Errorf("B46: %x is %+v, want %+v", b, got, wanted)
		}
		if again, err := parseHello(got.append(nil)); err != nil || again != got {
			t.Errorf("B46: %+v becomes %+v, %v", got, again, err)
		}
	})
}

// extAllows is PROTOCOL.md's list of what ends the connection, by a frame's header.
func extAllows(h messageHeader) bool {
	switch h.Type {
	case messageTypePart:
		return h.StreamID != 0 && (h.Flags&1 == 0 || h.Length == 0)
	case messageTypeFiles:
		return h.StreamID != 0 && h.Length == 4
	case messageTypeCancel:
		return h.StreamID != 0 && h.Length <= 65536
	case messageTypeCredit:
		return h.Length == 4
	case messageTypePing:
		return h.StreamID == 0 && h.Length == 8
	case messageTypeGoodbye:
		return h.StreamID == 0 && 4 <= h.Length && h.Length <= 65536
	}
	return h.Type >= 0x80 || h.Type < 0x40 && h.StreamID != 0
}

// FuzzControl looks at the frames of the extended mode one by one: what is allowed, and
// what is told (B56).
func FuzzControl(f *testing.F) {
	wire, _ := proto.Marshal(status.New(codes.Aborted, "why").Proto())
	for _, typ := range []messageType{0, 3, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x7f, 0x80} {
		for _, n := range []uint32{0, 4, 8, 65536, 65537} {
			f.Add(uint32(0), byte(typ), byte(n&1), n, wire)
			f.Add(uint32(3), byte(typ), byte(1), n, []byte("\x08\x00\x12\x02no"))
		}
	}
	f.Fuzz(func(t *testing.T, id uint32, typ, flags byte, n uint32, data []byte) {
		h := messageHeader{n, id, messageType(typ), flags}
		if err := checkControl(h); (err == nil) != extAllows(h) {
			t.Errorf("B56: %+v: %v", h, err)
		}
		st := parseStatus(data, codes.Canceled)
		var p spb.Status
		switch err := proto.Unmarshal(data, &p); {
		case st.Code() == codes.OK:
			t.Errorf("B47: %x is no reason", data)
		case err != nil:
		case p.Code != 0 && !proto.Equal(st.Proto(), &p):
			t.Errorf("B47: %x is %v, want %v", data, st, &p)
		case p.Code == 0 && (st.Code() != codes.Canceled || st.Message() != p.Message):
			t.Errorf("B47: %x is %v", data, st)
		}
		for _, frame := range []*frame{cancelFrame(id|1, st.Err()), goodbyeFrame(id, st), pingFrame(flags&1, data[:min(8, len(data))])} {
			if h, _ := parseHeader(frame.data); int(h.Length) != len(frame.data)-messageHeaderLength || !extAllows(h) && h.Type != messageTypePing {
				t.Errorf("B56: we send %+v", h)
			}
			frame.release()
		}
	})
}

// FuzzExtendedServer sends a server anything that the extended mode has, in any order.
func FuzzExtendedServer(f *testing.F) { fuzzExtended(f, roleServer) }

// FuzzExtendedClient sends a client anything that the extended mode has, in any order.
func FuzzExtendedClient(f *testing.F) { fuzzExtended(f, roleClient) }

func fuzzExtended(f *testing.F, r role) {
	for seed := range 30 {
		f.Add(randomProgram(seed))
	}
	f.Add(bytes.Repeat([]byte{0}, 100))
	f.Fuzz(func(t *testing.T, code []byte) {
		synctest.Test(t, func(t *testing.T) { runExtFuzz(t, r, code) })
	})
}

// TestExtendedFrames runs random programs of the fuzzers.
func TestExtendedFrames(t *testing.T) {
	for _, r := range []role{roleServer, roleClient} {
		for seed := range 150 {
			synctest.Test(t, func(t *testing.T) { runExtFuzz(t, r, randomProgram(seed)) })
			if t.Failed() {
				t.Fatalf("role %d, seed %d", r, seed)
			}
		}
	}
}
