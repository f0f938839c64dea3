// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cbor is a codec of libchan: CBOR, the notation of RFC 8949.
//
//	session, err := libchan.NewClient(conn, libchan.WithCodec(cbor.Codec))
//
// Both sides need the option, as libchan itself does not know the codec. What arrives where is
// as with [libchan.Msgpack]. A time is a string of tag 0, and what travels beside a message,
// such as an end of a channel, is its index in [Tag]. It is a module of its own, on
// github.com/fxamacker/cbor, and is all that is needed to make a codec of a library that knows
// nothing of channels.
package cbor

import (
	"bytes"
	"fmt"
	"math"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"github.com/containerd/ttrpc/libchan"
)

// Tag is the number of the tag around the index of what travels beside a message. IANA has
// given it to nobody.
const Tag = 0x6c696263 // libc

// maxDepth is how deep CBOR may nest, tags counted: no deeper than libchan lets values.
const maxDepth = 1000

// Codec is the codec that is called cbor.
var Codec libchan.Codec = newCodec()

type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCodec() codec {
	tags := cbor.NewTagSet()
	both := cbor.TagOptions{EncTag: cbor.EncTagRequired, DecTag: cbor.DecTagRequired}
	if err := tags.Add(both, reflect.TypeFor[libchan.Ref](), Tag); err != nil {
		panic(err)
	}
	enc := cbor.EncOptions{
		ShortestFloat: cbor.ShortestFloat16,
		Time:          cbor.TimeRFC3339Nano,
		TimeTag:       cbor.EncTagRequired,
	}
	dec := cbor.DecOptions{
		DupMapKey:            cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:      maxDepth,
		MaxArrayElements:     math.MaxInt32, // a message has its limit
		MaxMapPairs:          math.MaxInt32,
		UTF8:                 cbor.UTF8DecodeInvalid, // a string of Go is any bytes
		UnrecognizedTagToAny: cbor.UnrecognizedTagContentToAny,
	}
	return codec{must(enc.UserBufferEncModeWithTags(tags)), must(dec.DecModeWithTags(tags))}
}

// must returns v, as options that are constant cannot be wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Name returns the codec's name.
func (codec) Name() string { return "cbor" }

// Marshal appends the encoding of v to b.
func (c codec) Marshal(b []byte, v any, refs libchan.Refs) ([]byte, error) {
	plain, err := libchan.Plain(v, refs)
	if err != nil {
		return b, err
	}
	buf := bytes.NewBuffer(b)
	if err := c.enc.MarshalToBuffer(plain, buf); err != nil {
		return b, fmt.Errorf("libchan: %w", err)
	}
	return buf.Bytes(), nil
}

// Unmarshal decodes data into what v points to.
func (c codec) Unmarshal(data []byte, v any, refs libchan.Refs) error {
	var plain any
	if err := c.dec.Unmarshal(data, &plain); err != nil {
		return fmt.Errorf("libchan: %w", err)
	}
	return libchan.Fill(v, plain, refs)
}
