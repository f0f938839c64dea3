// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "reflect"

// A Codec turns messages into bytes and back. (must be safe for concurrent use)
type Codec interface {
	// Name is what the codec is called on the wire.
	Name() string
	// Marshal appends the encoding of v to b. What travels beside the bytes it gives to refs, and puts the index in its place.
	Marshal(b []byte, v any, refs Refs) ([]byte, error)
	// Unmarshal decodes data into v, a pointer that is not nil.
	Unmarshal(data []byte, v any, refs Refs) error
}

// Refs is the table of what a message has beside its bytes: ends of channels, byte streams, files.
type Refs interface {
	// Add puts v into the table if it is something that travels beside the bytes, and returns its index. ok is false if it is not: v is then encoded as any value.
	Add(v any) (index int, ok bool, err error)
	// Carries tells whether a value of type t may be one that Add takes (typed channels, Sender, Receiver, io.Reader, ..., *os.File), so that a codec need not ask for each value.
	Carries(t reflect.Type) bool
	// Get returns what has the index, as a value that can be assigned to type t.
	Get(index int, t reflect.Type) (reflect.Value, error)
}
