// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A codec encodes messages. Where there is none ttrpc does it itself, which is faster.
type codec interface {
	Marshal(m any) ([]byte, error)
	Unmarshal(b []byte, m any) error
}

// A codecV2 makes a codec of gRPC's newer kind.
type codecV2 struct{ encoding.CodecV2 }

// Marshal implements [codec].
func (c codecV2) Marshal(m any) ([]byte, error) {
	buffers, err := c.CodecV2.Marshal(m)
	if err != nil {
		return nil, err
	}
	defer buffers.Free()
	return buffers.Materialize(), nil
}

// Unmarshal implements [codec].
func (c codecV2) Unmarshal(b []byte, m any) error {
	return c.CodecV2.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
}

// protoCodec returns the codec that gRPC uses by default: its own, or what the program has
// registered in place of it.
func protoCodec() codec {
	if c := encoding.GetCodec(proto.Name); c != nil {
		return c
	}
	return codecV2{encoding.GetCodecV2(proto.Name)}
}

// replacedCodec returns what the program has registered in place of gRPC's own codec, or nil.
func replacedCodec() codec {
	const own = "google.golang.org/grpc/encoding/proto"
	c := protoCodec()
	if v2, ok := c.(codecV2); ok && reflect.Indirect(reflect.ValueOf(v2.CodecV2)).Type().PkgPath() == own {
		return nil
	}
	return c
}

// encode returns m in the encoding of the codec, or of gRPC's default if that is nil. A nil message
// is an empty one.
func encode(c codec, m any) (*ttrpc.RawMessage, error) {
	if c == nil {
		c = protoCodec()
	}
	switch m := m.(type) {
	case nil:
		return new(ttrpc.RawMessage), nil
	case *ttrpc.RawMessage:
		if m != nil {
			return m, nil
		}
	}
	b, err := c.Marshal(m)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	return &ttrpc.RawMessage{Payload: b}, nil
}

// decode decodes what has come into m, as encode encodes.
func decode(c codec, raw *ttrpc.RawMessage, m any) error {
	if c == nil {
		c = protoCodec()
	}
	if into, ok := m.(*ttrpc.RawMessage); ok && into != nil {
		*into = *raw
		return nil
	}
	if err := c.Unmarshal(raw.Payload, m); err != nil {
		return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
	}
	return nil
}
