// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "reflect"

// A Codec turns messages into bytes and back. It may be used concurrently.
type Codec interface {
	// Name is what the codec is called on the wire.
	Name() string

	// Marshal appends the encoding of v to b. What travels beside the bytes it adds to refs,
	// and puts the index in its place.
	Marshal(b []byte, v any, refs Refs) ([]byte, error)

	// Unmarshal decodes data into v, a pointer that is not nil. It keeps nothing of data.
	Unmarshal(data []byte, v any, refs Refs) error
}

// Refs is the table of what a message has beside its bytes: ends of channels, byte streams
// and files.
type Refs interface {
	// Carries tells whether a value of type t may be one that Add takes, so that a codec need
	// not ask for each value.
	Carries(t reflect.Type) bool

	// Add puts v into the table and returns its index. The type of v is that of the field,
	// which tells of a byte stream what may be done with it. If ok is false v is nothing
	// that travels beside the bytes, and is encoded as any value.
	Add(v reflect.Value) (index int, ok bool, err error)

	// Get returns what has the index, as a value that can be assigned to type t. It can be got
	// once.
	Get(index int, t reflect.Type) (reflect.Value, error)
}
