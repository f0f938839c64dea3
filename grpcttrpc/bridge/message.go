// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/containerd/ttrpc"
)

// A message is one message of a call, in its encoding. It is given on by its pointer, and no
// two goroutines have it.
type message struct {
	ttrpc.RawMessage
	buffer mem.Buffer // gRPC's memory with the payload, if that is lent
	kept   bool       // the payload is to outlive the message, and not to be lent
}

// free gives the payload's memory back, if gRPC had lent it.
func (m *message) free() {
	if m.buffer != nil {
		m.buffer.Free()
	}
	*m = message{kept: m.kept}
}

// rawCodec has messages pass as they are. All others are protobuf.
type rawCodec struct{ proto encoding.CodecV2 }

var codec = rawCodec{encoding.GetCodecV2(proto.Name)}

// Marshal implements [encoding.CodecV2].
func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*message)
	if !ok {
		return c.proto.Marshal(v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m.Payload)}, nil
}

// Unmarshal implements [encoding.CodecV2].
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	m.free()
	if m.kept {
		m.Payload = data.Materialize()
		return nil
	}
	m.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool()) // copies only what is in pieces
	m.Payload = m.buffer.ReadOnlyData()
	return nil
}

// Name implements [encoding.CodecV2].
func (c rawCodec) Name() string { return c.proto.Name() }
