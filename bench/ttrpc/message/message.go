// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package message holds what is sent: a message of protobuf, of gogo/protobuf if built
// with the tag gogo, or one with vtprotobuf's methods with the tag vt.
package message

// New returns a message that holds a value.
func New(value []byte) *Message { return &Message{Value: value} }
