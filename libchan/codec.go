// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import "reflect"

// A Codec turns messages into bytes and back. It may be used concurrently. To make one of a
// library that knows nothing of channels, see [Plain].
//
// # Values
//
// With all codecs of this package but [Protobuf], and with those that are made with Plain, a
// nil pointer, slice, map or end arrives as nil, and where nothing is nil, such as in a number,
// nil leaves what is there. A list becomes a new slice; a map is filled into the one there is;
// an array must have as many elements. Numbers arrive in any type that holds them: 1.5 in no
// whole one, and 300 in no int8. A time arrives as its instant, in UTC and without the reading
// of the monotonic clock; a time.Duration is a number of nanoseconds. A value in an interface
// arrives there as nil, bool, int64, uint64 if it is larger, float64, string, []byte, time.Time,
// []any, map[string]any, or map[any]any if some keys are no strings; in [JSON], which is all
// text, bytes, times and keys arrive as strings there. Other interfaces than any take what
// travels beside the message, and nothing else. A struct that has fields and exports none, an
// error for example, is refused, as nothing of it would arrive.
type Codec interface {
	// Name is what the codec is called on the wire.
	Name() string

	// Marshal appends the encoding of v to b. What travels beside the bytes it adds to refs,
	// and puts the index in its place. With an error it returns b as it was.
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
