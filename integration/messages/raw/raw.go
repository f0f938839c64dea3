// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package raw holds a type that users of gogo/protobuf may have.
package raw

// Raw is a custom type that keeps the memory that it is decoded from.
type Raw []byte

// Marshal returns the encoding.
func (r Raw) Marshal() ([]byte, error) { return r, nil }

// MarshalTo writes the encoding into b.
func (r Raw) MarshalTo(b []byte) (int, error) { return copy(b, r), nil }

// Size returns the length of the encoding.
func (r Raw) Size() int { return len(r) }

// Unmarshal keeps b.
func (r *Raw) Unmarshal(b []byte) error {
	*r = b
	return nil
}
