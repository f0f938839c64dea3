// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// HeaderLength is the length of a frame's header in bytes.
	HeaderLength = 10

	// DefaultMaxLength is how many bytes of data a frame may carry by default.
	DefaultMaxLength = 4 << 20

	// MaxLength is what the data of no frame can exceed. A longer length on the
	// wire is no message that anybody sent but noise, such as another
	// protocol's text (B7).
	MaxLength = 1<<24 - 1
)

// A Type is the ninth byte of a header. It tells what a frame is.
type Type uint8

const (
	TypeRequest  Type = 0x1 // TypeRequest opens a stream: a Request.
	TypeResponse Type = 0x2 // TypeResponse ends a stream: a Response.
	TypeData     Type = 0x3 // TypeData is a message on an open stream, as it is.

	TypePart    Type = 0x40 // TypePart is a piece of a larger frame; see control.go.
	TypeFiles   Type = 0x41 // TypeFiles announces descriptors of the next message.
	TypeCancel  Type = 0x42 // TypeCancel says that the stream's opener has given up.
	TypeCredit  Type = 0x43 // TypeCredit says that the receiver may send more.
	TypePing    Type = 0x44 // TypePing wants an answer, or is one.
	TypeGoodbye Type = 0x45 // TypeGoodbye says that no more streams are served.

	TypeMetadata Type = 0x46 // TypeMetadata has metadata of a stream's answer.
	TypeWant     Type = 0x47 // TypeWant says that a message waits for credit.
	TypeReturn   Type = 0x48 // TypeReturn gives credit back that will not be used.

	// TypeOptional is the first type that an end of the extended mode ignores
	// if it does not know it. Unknown types below end the connection.
	TypeOptional Type = 0x80
)

// String returns the type's name, or its number if it has none.
func (t Type) String() string {
	switch t {
	case TypeRequest:
		return "request"
	case TypeResponse:
		return "response"
	case TypeData:
		return "data"
	case TypePart:
		return "part"
	case TypeFiles:
		return "files"
	case TypeCancel:
		return "cancel"
	case TypeCredit:
		return "credit"
	case TypePing:
		return "ping"
	case TypeGoodbye:
		return "goodbye"
	case TypeMetadata:
		return "metadata"
	case TypeWant:
		return "want"
	case TypeReturn:
		return "return"
	}
	return fmt.Sprintf("type %#x", uint8(t))
}

// The flags of requests and data are bits of the tenth byte of a header.
const (
	FlagRemoteClosed uint8 = 0x1 // FlagRemoteClosed: the sender will send no more data.
	FlagRemoteOpen   uint8 = 0x2 // FlagRemoteOpen, on a request: data of the client follows.
	FlagNoData       uint8 = 0x4 // FlagNoData: the frame carries no message, not an empty one.
)

// A Header is what a frame begins with:
//
//	0        4        8      9       10
//	| Length |StreamID| Type | Flags |  Length bytes of data …
//
// Length and StreamID are big-endian. Length does not count the header.
type Header struct {
	Length   uint32
	StreamID uint32
	Type     Type
	Flags    uint8
}

// ParseHeader reads a header from the front of b. It fails with
// io.ErrUnexpectedEOF if b is shorter than one.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLength {
		return Header{}, io.ErrUnexpectedEOF
	}
	return Header{
		Length:   binary.BigEndian.Uint32(b[0:4]),
		StreamID: binary.BigEndian.Uint32(b[4:8]),
		Type:     Type(b[8]),
		Flags:    b[9],
	}, nil
}

// Put writes the header into the first HeaderLength bytes of b, which must have
// as many.
func (h Header) Put(b []byte) {
	_ = b[HeaderLength-1]
	binary.BigEndian.PutUint32(b[0:4], h.Length)
	binary.BigEndian.PutUint32(b[4:8], h.StreamID)
	b[8] = byte(h.Type)
	b[9] = h.Flags
}

// PutStreamID changes the stream of a frame that has its header already.
func PutStreamID(frame []byte, id uint32) {
	binary.BigEndian.PutUint32(frame[4:8], id)
}

// AppendHeader appends a header.
func AppendHeader(b []byte, h Header) []byte {
	b = binary.BigEndian.AppendUint32(b, h.Length)
	b = binary.BigEndian.AppendUint32(b, h.StreamID)
	return append(b, byte(h.Type), h.Flags)
}

// AppendFrame appends a frame: a header that tells the length of data, and data.
func AppendFrame(b []byte, id uint32, t Type, flags uint8, data []byte) []byte {
	h := Header{Length: uint32(len(data)), StreamID: id, Type: t, Flags: flags}
	return append(AppendHeader(b, h), data...)
}

// CutFrame splits the first frame off b: its header, its data, and what follows
// it. It fails with io.ErrUnexpectedEOF if b ends within the frame. Data and rest
// alias b.
func CutFrame(b []byte) (h Header, data, rest []byte, err error) {
	h, err = ParseHeader(b)
	if err != nil || uint64(h.Length) > uint64(len(b)-HeaderLength) {
		return Header{}, nil, nil, io.ErrUnexpectedEOF
	}
	b = b[HeaderLength:]
	return h, b[:h.Length:h.Length], b[h.Length:], nil
}
