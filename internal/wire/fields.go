// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is returned for bytes that are not the message that they should be.
var ErrMalformed = errors.New("cannot parse invalid wire-format data")

// A field's tag is the byte that stands before it: its number times 8, and one of
// these.
const (
	varintType = byte(protowire.VarintType)
	bytesType  = byte(protowire.BytesType)
)

// eachField calls f for the fields of the message in b: with the value of
// those that are length-delimited, with the number of varints. It returns
// false if f does or b is malformed. Fields of other types and with tags of
// more than one byte, which no version of the messages here has, are passed over.
func eachField(b []byte, f func(tag byte, value []byte, n uint64) bool) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return false
		}
		b = b[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return false
		}
		if num < 16 && !f(byte(num)<<3|byte(typ), value, number) {
			return false
		}
		b = b[n:]
	}
	return true
}

// sizeField is the size of a length-delimited field of n bytes, which is left
// out when empty.
func sizeField(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

// sizeNumber is the size of a field of a number, which is left out if 0.
func sizeNumber(n uint64) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(n)
}

// appendLength appends what stands before the n bytes of a field.
func appendLength(b []byte, tag byte, n int) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), uint64(n))
}

// appendString appends a field of text, which is left out when empty.
func appendString(b []byte, tag byte, s string) []byte {
	return append(appendLength(b, tag, len(s)), s...)
}

// appendNumber appends a field of a number, which is left out if 0.
func appendNumber(b []byte, tag byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), n)
}
