// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"maps"
	"slices"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The envelopes around a payload, Request and Response of request.proto, are
// encoded here by hand, byte for byte as protobuf does it, so that a payload
// is written once, straight into its frame, and read from where it arrived.

// Tags of Request's, KeyValue's and Response's fields.
const (
	tagRequestService  = 1<<3 | byte(protowire.BytesType)
	tagRequestMethod   = 2<<3 | byte(protowire.BytesType)
	tagRequestPayload  = 3<<3 | byte(protowire.BytesType)
	tagRequestTimeout  = 4<<3 | byte(protowire.VarintType)
	tagRequestMetadata = 5<<3 | byte(protowire.BytesType)
	tagKey             = 1<<3 | byte(protowire.BytesType)
	tagValue           = 2<<3 | byte(protowire.BytesType)
	tagResponseStatus  = 1<<3 | byte(protowire.BytesType)
	tagResponsePayload = 2<<3 | byte(protowire.BytesType)
)

var (
	errNotUTF8   = errors.New("ttrpc: service, method and metadata must be valid UTF-8")
	errMalformed = errors.New("cannot parse invalid wire-format data")
)

// A requestHead is a Request without its payload.
type requestHead struct {
	service, method string
	timeoutNano     int64
	metadata        []*KeyValue
}

// check says whether protobuf would encode the head.
func (h *requestHead) check() error {
	ok := utf8.ValidString(h.service) && utf8.ValidString(h.method)
	for _, kv := range h.metadata {
		ok = ok && utf8.ValidString(kv.GetKey()) && utf8.ValidString(kv.GetValue())
	}
	if !ok {
		return errNotUTF8
	}
	return nil
}

// size is the length of the envelope around n bytes of payload, both together.
func (h *requestHead) size(n int) int {
	size := sizeField(len(h.service)) + sizeField(len(h.method)) + sizeField(n)
	if h.timeoutNano != 0 {
		size += 1 + protowire.SizeVarint(uint64(h.timeoutNano))
	}
	for _, kv := range h.metadata {
		size += 1 + protowire.SizeBytes(sizeKeyValue(kv))
	}
	return size
}

// appendFront appends what stands before a payload of n bytes.
func (h *requestHead) appendFront(b []byte, n int) []byte {
	b = appendString(b, tagRequestService, h.service)
	b = appendString(b, tagRequestMethod, h.method)
	return appendLength(b, tagRequestPayload, n)
}

// appendBack appends what stands after the payload.
func (h *requestHead) appendBack(b []byte) []byte {
	if h.timeoutNano != 0 {
		b = protowire.AppendVarint(append(b, tagRequestTimeout), uint64(h.timeoutNano))
	}
	for _, kv := range h.metadata {
		b = protowire.AppendVarint(append(b, tagRequestMetadata), uint64(sizeKeyValue(kv)))
		b = appendString(b, tagKey, kv.GetKey())
		b = appendString(b, tagValue, kv.GetValue())
	}
	return b
}

// keyValues returns md in its wire form: keys sorted, values in their order.
func keyValues(md MD) []*KeyValue {
	if len(md) == 0 {
		return nil
	}
	var kvs []*KeyValue
	for _, key := range slices.Sorted(maps.Keys(md)) {
		for _, value := range md[key] {
			kvs = append(kvs, &KeyValue{Key: key, Value: value})
		}
	}
	return kvs
}

// A requestView is a decoded Request; all but the metadata aliases the frame.
type requestView struct {
	service, method, payload []byte
	timeoutNano              int64
	metadata                 MD // nil if there is none
}

// parseRequest decodes the data of a request frame.
func parseRequest(b []byte) (requestView, error) {
	var v requestView
	ok := eachField(b, func(tag byte, value []byte, n uint64) bool {
		switch tag {
		case tagRequestService:
			v.service = value
			return utf8.Valid(value)
		case tagRequestMethod:
			v.method = value
			return utf8.Valid(value)
		case tagRequestPayload:
			v.payload = value
		case tagRequestTimeout:
			v.timeoutNano = int64(n)
		case tagRequestMetadata:
			return v.addMetadata(value)
		}
		return true
	})
	if !ok {
		return requestView{}, whyMalformed(b, new(Request))
	}
	return v, nil
}

func (v *requestView) addMetadata(b []byte) bool {
	var key, value string
	ok := eachField(b, func(tag byte, field []byte, _ uint64) bool {
		switch tag {
		case tagKey:
			key = string(field)
			return utf8.Valid(field)
		case tagValue:
			value = string(field)
			return utf8.Valid(field)
		}
		return true
	})
	if v.metadata == nil {
		v.metadata = make(MD)
	}
	v.metadata[key] = append(v.metadata[key], value)
	return ok
}

// sizeResponse is the length of a Response's encoding.
func sizeResponse(status []byte, payload int) int {
	return sizeField(len(status)) + sizeField(payload)
}

// appendResponseFront appends what stands before a payload of n bytes.
func appendResponseFront(b, status []byte, n int) []byte {
	if len(status) > 0 {
		b = append(appendLength(b, tagResponseStatus, len(status)), status...)
	}
	return appendLength(b, tagResponsePayload, n)
}

// parseResponse decodes the data of a response frame. The payload aliases b.
// A nil status means OK.
func parseResponse(b []byte) (st *spb.Status, payload []byte, err error) {
	ok := eachField(b, func(tag byte, value []byte, _ uint64) bool {
		switch tag {
		case tagResponseStatus:
			if st == nil {
				st = new(spb.Status)
			}
			return proto.UnmarshalOptions{Merge: true}.Unmarshal(value, st) == nil
		case tagResponsePayload:
			payload = value
		}
		return true
	})
	if !ok {
		return nil, nil, whyMalformed(b, new(Response))
	}
	return st, payload, nil
}

// eachField calls f for the fields of the message in b: with the value of
// those that are length-delimited, with the number of varints. It returns
// false if f does or b is malformed. Fields of other types and with tags of
// more than one byte, which no version of the envelopes has, are passed over.
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

// whyMalformed returns protobuf's own words for what is wrong with b.
func whyMalformed(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	return errMalformed
}

func sizeKeyValue(kv *KeyValue) int {
	return sizeField(len(kv.GetKey())) + sizeField(len(kv.GetValue()))
}

// sizeField is the size of a length-delimited field of n bytes, which is left
// out when empty.
func sizeField(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

func appendLength(b []byte, tag byte, n int) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), uint64(n))
}

func appendString(b []byte, tag byte, s string) []byte {
	return append(appendLength(b, tag, len(s)), s...)
}
