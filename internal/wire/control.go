// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// What the frames of the extended mode hold:
//
//	part     a piece of the data of the stream's next request, response or data
//	         frame; nothing with FlagReset
//	files    uint32: how many descriptors come with the next message
//	cancel   google.rpc.Status: why
//	credit   uint32: how many bytes more may be sent, of messages of a stream or,
//	         with id 0, of requests and answers
//	ping     8 bytes, which come back with FlagAnswer; id 0
//	goodbye  uint32: the last id that is served; google.rpc.Status: why; id 0
//	want     uint32: how many bytes of credit the stream's next message takes; or with
//	         id 0, the request or answer that waits, 0 if none does any more
//	return   uint32: how many bytes of credit, as above, will not be used
//	metadata Request: its metadata is the answer's header, with FlagTrailer its trailer
//
// All numbers are big-endian.
const (
	FlagReset   uint8 = 0x1 // FlagReset, on a part: what was collected is dropped.
	FlagAnswer  uint8 = 0x1 // FlagAnswer, on a ping: it is the answer to one.
	FlagTrailer uint8 = 0x1 // FlagTrailer, on metadata: it is the trailer, not the header.
	FlagLast    uint8 = 0x1 // FlagLast, on a want of a stream: it is for the answer, and nobody receives what is sent.
	FlagAsked   uint8 = 0x1 // FlagAsked, on credit: what was asked for is in it; with id 0 it is that, beyond the window.
	FlagStream  uint8 = 0x2 // FlagStream, on a part, files or response: it takes the stream's credit.
	FlagRefused uint8 = 0x4 // FlagRefused, on a response: the call was refused and has not run.

	// NumberLength is the length of the number in files, credit, want, return and goodbye.
	NumberLength = 4

	// PingLength is the length of a ping's data.
	PingLength = 8

	// MaxControl is how much data a cancel, a goodbye or metadata may carry.
	MaxControl = 64 << 10
)

// CheckControl says what is wrong with a header of a frame of the extended mode,
// whatever stream it is for. Of requests, responses and data, it requires a stream.
func CheckControl(h Header) error {
	ok := true
	switch h.Type {
	case TypePart:
		ok = h.StreamID != 0 && (h.Flags&FlagReset == 0 || h.Length == 0)
	case TypeFiles:
		ok = h.StreamID != 0 && h.Length == NumberLength
	case TypeCancel, TypeMetadata:
		ok = h.StreamID != 0 && h.Length <= MaxControl
	case TypeCredit, TypeWant, TypeReturn:
		ok = h.Length == NumberLength
	case TypePing:
		ok = h.StreamID == 0 && h.Length == PingLength
	case TypeGoodbye:
		ok = h.StreamID == 0 && h.Length >= NumberLength && h.Length <= MaxControl
	default:
		ok = h.Type < TypePart && h.StreamID != 0 || h.Type >= TypeOptional
	}
	if ok {
		return nil
	}
	return fmt.Errorf("a frame that extended mode does not allow: %s, id %d, flags %#x, %d bytes", h.Type, h.StreamID, h.Flags, h.Length)
}

// AppendNumber appends the data of a files, credit, want or return frame.
func AppendNumber(b []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(b, n)
}

// ParseNumber decodes the data of a files, credit, want or return frame. It fails with
// io.ErrUnexpectedEOF if b is too short; what b has more is not looked at.
func ParseNumber(b []byte) (uint32, error) {
	if len(b) < NumberLength {
		return 0, io.ErrUnexpectedEOF
	}
	return binary.BigEndian.Uint32(b), nil
}

// MaxReason is how much text a cancel or goodbye is looked at for.
const MaxReason = 1 << 10

// ParseReason decodes as much of a google.rpc.Status as tells why: its code, and up to
// MaxReason bytes of its message. Its details, each of which takes up many times what it
// has on the wire, are passed over. If b is malformed there is nothing in it.
func ParseReason(b []byte) (code int32, message string) {
	ok := eachField(b, func(tag byte, value []byte, n uint64) bool {
		switch tag {
		case tagReasonCode:
			code = int32(n)
		case tagReasonMessage:
			message = string(value[:min(len(value), MaxReason)])
			return utf8.Valid(value)
		}
		return true
	})
	if !ok {
		return 0, ""
	}
	return code, strings.ToValidUTF8(message, "") // it may be cut within a character
}

// Tags of the fields of google.rpc.Status.
const (
	tagReasonCode    = 1<<3 | varintType
	tagReasonMessage = 2<<3 | bytesType
)

// AppendGoodbye appends the data of a goodbye. The status is encoded, and empty
// if it does not tell why.
func AppendGoodbye(b []byte, last uint32, status []byte) []byte {
	return append(AppendNumber(b, last), status...)
}

// ParseGoodbye decodes the data of a goodbye. It fails with io.ErrUnexpectedEOF if
// b is too short. The status aliases b, and is not looked at.
func ParseGoodbye(b []byte) (last uint32, status []byte, err error) {
	last, err = ParseNumber(b)
	if err != nil {
		return 0, nil, err
	}
	return last, b[NumberLength:], nil
}
