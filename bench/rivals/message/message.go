// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package message holds what the rivals with protobuf send.
package message

import (
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/bench/measure"
)

// A Message has bytes.
type Message = wrapperspb.BytesValue

// New returns a message of a size.
func New(size int) *Message { return &Message{Value: measure.Content(size)} }

// RequestFor returns what has a size and asks for an answer of another.
func RequestFor(size, answer int) *Message {
	return &Message{Value: measure.RequestValue(size, answer)}
}
