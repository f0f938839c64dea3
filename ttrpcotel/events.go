// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
)

// Which way a message goes, as its event says.
const (
	sent     = "SENT"
	received = "RECEIVED"
)

// messageOf makes an event of a message, if events were asked for.
func (s *span) messageOf(way string, m any) {
	if s.wants(way) {
		size, known := sizeOf(m)
		s.message(way, size, known)
	}
}

func (s *span) wants(way string) bool {
	return (way == sent && s.of.sent || way == received && s.of.received) && s.IsRecording()
}

// message makes an event of a message of so many bytes, if events were asked for.
func (s *span) message(way string, size int, known bool) {
	if !s.wants(way) {
		return
	}
	count := &s.sent
	if way == received {
		count = &s.received
	}
	attrs := []attribute.KeyValue{
		attribute.String("rpc.message.type", way),
		attribute.Int64("rpc.message.id", count.Add(1)),
	}
	if known {
		attrs = append(attrs, attribute.Int("rpc.message.uncompressed_size", size))
	}
	s.AddEvent("message", trace.WithAttributes(attrs...))
}

// sizeOf returns how many bytes a message has, encoded, and whether that is known.
func sizeOf(m any) (size int, known bool) {
	switch m := m.(type) {
	case nil:
		return 0, true
	case *ttrpc.RawMessage:
		if m != nil {
			return len(m.Payload), true
		}
	case *ttrpc.FileMessage:
		if m != nil {
			return sizeOf(m.Message)
		}
	case proto.Message:
		return proto.Size(m), true
	case interface{ Size() int }: // of gogo/protobuf
		return m.Size(), true
	}
	return 0, false
}
