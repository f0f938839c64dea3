// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package encoding is how DRPC is told to encode messages of protobuf.
package encoding

import (
	"google.golang.org/protobuf/proto"
	"storj.io/drpc"
)

// Protobuf encodes messages of protobuf, as DRPC's generated code does.
type Protobuf struct{}

// Marshal encodes a message.
func (Protobuf) Marshal(m drpc.Message) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }

// MarshalAppend is what DRPC calls if it is there.
func (Protobuf) MarshalAppend(b []byte, m drpc.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(b, m.(proto.Message))
}

// Unmarshal decodes a message.
func (Protobuf) Unmarshal(b []byte, m drpc.Message) error {
	return proto.Unmarshal(b, m.(proto.Message))
}
