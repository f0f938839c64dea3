// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The envelopes around a payload, Request and Response of request.proto, are
// encoded here by hand, byte for byte as protobuf does it, so that a payload is
// written once, straight to where it leaves from, and read from where it arrived:
// who encodes one appends the front, then the payload, then the back.

// Tags of the fields of Request, KeyValue and Response.
const (
	tagRequestService  = 1<<3 | bytesType
	tagRequestMethod   = 2<<3 | bytesType
	tagRequestPayload  = 3<<3 | bytesType
	tagRequestTimeout  = 4<<3 | varintType
	tagRequestMetadata = 5<<3 | bytesType // a KeyValue, as often as there are
	tagKey             = 1<<3 | bytesType
	tagValue           = 2<<3 | bytesType
	tagResponseStatus  = 1<<3 | bytesType // a google.rpc.Status
	tagResponsePayload = 2<<3 | bytesType
	tagStatusCode      = 1<<3 | varintType // of google.rpc.Status
)

// A Request is the data of a request frame.
type Request struct {
	Service, Method string
	Payload         []byte
	TimeoutNano     int64
	Metadata        []KeyValue
}

// A KeyValue is an entry of a request's metadata.
type KeyValue struct{ Key, Value string }

// Append appends r encoded.
func (r Request) Append(b []byte) []byte {
	b = AppendRequestFront(b, r.Service, r.Method, len(r.Payload))
	b = AppendTimeout(append(b, r.Payload...), r.TimeoutNano)
	for _, kv := range r.Metadata {
		b = AppendMetadata(b, kv.Key, kv.Value)
	}
	return b
}

// SizeRequest is the length of a Request with n bytes of payload and no metadata.
func SizeRequest(service, method string, n int, timeoutNano int64) int {
	return sizeField(len(service)) + sizeField(len(method)) + sizeField(n) + sizeNumber(uint64(timeoutNano))
}

// SizeMetadata is by how much an entry of metadata makes a Request longer.
func SizeMetadata(key, value string) int {
	return 1 + protowire.SizeBytes(sizeKeyValue(key, value))
}

func sizeKeyValue(key, value string) int { return sizeField(len(key)) + sizeField(len(value)) }

// AppendRequestFront appends what stands before a payload of n bytes.
func AppendRequestFront(b []byte, service, method string, n int) []byte {
	b = appendString(b, tagRequestService, service)
	b = appendString(b, tagRequestMethod, method)
	return appendLength(b, tagRequestPayload, n)
}

// AppendTimeout appends what a Request has of its timeout, after the payload. One
// of 0 is none.
func AppendTimeout(b []byte, nano int64) []byte {
	return appendNumber(b, tagRequestTimeout, uint64(nano))
}

// AppendMetadata appends an entry of metadata, after the timeout.
func AppendMetadata(b []byte, key, value string) []byte {
	b = protowire.AppendVarint(append(b, tagRequestMetadata), uint64(sizeKeyValue(key, value)))
	b = appendString(b, tagKey, key)
	return appendString(b, tagValue, value)
}

// A RequestView is a decoded Request without its metadata. It aliases what it was
// decoded from.
type RequestView struct {
	Service, Method, Payload []byte
	TimeoutNano              int64
}

// ParseRequest decodes the data of a request frame. It calls metadata for each
// entry, in their order, with slices of b; if it fails in the end, with
// ErrMalformed, these calls count for nothing.
func ParseRequest(b []byte, metadata func(key, value []byte)) (RequestView, error) {
	var v RequestView
	ok := eachField(b, func(tag byte, value []byte, n uint64) bool {
		switch tag {
		case tagRequestService:
			v.Service = value
			return utf8.Valid(value)
		case tagRequestMethod:
			v.Method = value
			return utf8.Valid(value)
		case tagRequestPayload:
			v.Payload = value
		case tagRequestTimeout:
			v.TimeoutNano = int64(n)
		case tagRequestMetadata:
			key, value, ok := parseKeyValue(value)
			if ok {
				metadata(key, value)
			}
			return ok
		}
		return true
	})
	if !ok {
		return RequestView{}, ErrMalformed
	}
	return v, nil
}

// FrontOfRequest returns the service and the method of a Request of which only the front may be
// there, as far as they are in it and stand first. They alias b, and may be no UTF-8.
func FrontOfRequest(b []byte) (service, method []byte) {
	for len(b) > 0 && (b[0] == tagRequestService || b[0] == tagRequestMethod) {
		value, n := protowire.ConsumeBytes(b[1:])
		if n < 0 {
			break
		}
		if b[0] == tagRequestService {
			service = value
		} else {
			method = value
		}
		b = b[1+n:]
	}
	return service, method
}

func parseKeyValue(b []byte) (key, value []byte, ok bool) {
	ok = eachField(b, func(tag byte, field []byte, _ uint64) bool {
		switch tag {
		case tagKey:
			key = field
			return utf8.Valid(field)
		case tagValue:
			value = field
			return utf8.Valid(field)
		}
		return true
	})
	return key, value, ok
}

// A Response is the data of a response frame. Its status is encoded; nil means OK.
type Response struct{ Status, Payload []byte }

// Append appends r encoded.
func (r Response) Append(b []byte) []byte {
	return append(AppendResponseFront(b, r.Status, len(r.Payload)), r.Payload...)
}

// SizeResponse is the length of a Response with n bytes of payload.
func SizeResponse(status []byte, n int) int {
	return sizeField(len(status)) + sizeField(n)
}

// AppendResponseFront appends what stands before a payload of n bytes. Nothing
// stands after it.
func AppendResponseFront(b, status []byte, n int) []byte {
	if len(status) > 0 {
		b = append(appendLength(b, tagResponseStatus, len(status)), status...)
	}
	return appendLength(b, tagResponsePayload, n)
}

// ParseResponse decodes the data of a response frame, or fails with ErrMalformed.
// The payload aliases b, and the status does unless it was given in several pieces;
// what is in it is not looked at. A nil status was not given at all.
func ParseResponse(b []byte) (Response, error) {
	if payload, ok := onlyPayload(b); ok {
		return Response{nil, payload}, nil
	}
	var status, payload []byte
	given := 0 // pieces of the status
	ok := eachField(b, func(tag byte, value []byte, _ uint64) bool {
		switch tag {
		case tagResponsePayload:
			payload = value
		case tagResponseStatus:
			if given++; given == 1 {
				status = value
				return true
			}
			// Protobuf merges messages that are given again. To put them one after
			// the other means the same if each by itself is whole.
			if given == 2 {
				if !isMessage(status) {
					return false
				}
				status = slices.Clone(status)
			}
			status = append(status, value...)
			return isMessage(value)
		}
		return true
	})
	if !ok {
		return Response{}, ErrMalformed
	}
	return Response{status, payload}, nil
}

// ResponseCode returns the code of the status in the data of a response frame: 0, which
// is success, also if there is none. What is malformed is not told.
func ResponseCode(b []byte) (code uint32) {
	if _, ok := onlyPayload(b); ok {
		return 0
	}
	eachField(b, func(tag byte, status []byte, _ uint64) bool {
		return tag != tagResponseStatus || eachField(status, func(tag byte, _ []byte, n uint64) bool {
			if tag == tagStatusCode {
				code = uint32(n)
			}
			return true
		})
	})
	return code
}

// onlyPayload returns the payload of the data of a response frame if there is nothing else,
// as in most.
func onlyPayload(b []byte) (payload []byte, ok bool) {
	if len(b) == 0 || b[0] != tagResponsePayload {
		return nil, false
	}
	payload, n := protowire.ConsumeBytes(b[1:])
	return payload, 1+n == len(b)
}

// isMessage tells whether b consists of fields.
func isMessage(b []byte) bool {
	return eachField(b, func(byte, []byte, uint64) bool { return true })
}
