// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"encoding/binary"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// What the frames of the extended mode hold:
//
//	part     a piece of the data of the stream's next request, response or data
//	         frame; nothing with flagReset
//	files    uint32: how many descriptors come with the next message
//	cancel   google.rpc.Status: why
//	credit   uint32: how many bytes more may be sent, on a stream or, with id 0,
//	         on the connection
//	ping     8 bytes, which come back with flagAnswer; id 0
//	goodbye  uint32: the last id that is served; google.rpc.Status: why; id 0
//
// All numbers are big-endian.
const (
	flagReset  uint8 = 0x1 // on a part: what was collected is dropped
	flagAnswer uint8 = 0x1 // on a ping

	pingLength = 8

	// maxControl is how much data a cancel or a goodbye may carry.
	maxControl = 64 << 10
)

// numberFrame returns a sealed frame whose data is a number.
func numberFrame(t messageType, id, n uint32) *frame {
	f := newOutFrame(4)
	f.data = binary.BigEndian.AppendUint32(f.data, n)
	f.seal(messageHeader{StreamID: id, Type: t})
	return f
}

// resetFrame returns a sealed frame that drops the parts of a message.
func resetFrame(id uint32) *frame {
	f := newOutFrame(0)
	f.seal(messageHeader{StreamID: id, Type: messageTypePart, Flags: flagReset})
	return f
}

// cancelFrame returns a sealed frame that tells why a stream is given up.
func cancelFrame(id uint32, why error) *frame {
	f := newOutFrame(0)
	f.data = appendStatus(f.data, statusOf(why))
	f.seal(messageHeader{StreamID: id, Type: messageTypeCancel})
	return f
}

// goodbyeFrame returns a sealed frame that tells the last id that is served.
func goodbyeFrame(last uint32, why *status.Status) *frame {
	f := newOutFrame(4)
	f.data = appendStatus(binary.BigEndian.AppendUint32(f.data, last), why)
	f.seal(messageHeader{Type: messageTypeGoodbye})
	return f
}

// pingFrame returns a sealed ping, or with flagAnswer the answer to one.
func pingFrame(flags uint8, data []byte) *frame {
	f := newOutFrame(len(data))
	f.data = append(f.data, data...)
	f.seal(messageHeader{Type: messageTypePing, Flags: flags})
	return f
}

// appendStatus appends a status, or nothing if it is too long to be told.
func appendStatus(b []byte, st *status.Status) []byte {
	p, err := proto.Marshal(st.Proto())
	if err != nil || len(p) > maxControl/2 {
		return b
	}
	return append(b, p...)
}

// parseStatus decodes a status that tells why; one that tells nothing becomes
// one of the code otherwise.
func parseStatus(b []byte, otherwise codes.Code) *status.Status {
	p := new(spb.Status)
	if proto.Unmarshal(b, p) != nil || p.Code == int32(codes.OK) {
		return status.New(otherwise, p.GetMessage())
	}
	return status.FromProto(p)
}

// checkControl says what is wrong with the header of a frame that only the
// extended mode has.
func checkControl(h messageHeader) error {
	ok := true
	switch h.Type {
	case messageTypePart:
		ok = h.StreamID != 0 && (h.Flags&flagReset == 0 || h.Length == 0)
	case messageTypeFiles:
		ok = h.StreamID != 0 && h.Length == 4
	case messageTypeCancel:
		ok = h.StreamID != 0 && h.Length <= maxControl
	case messageTypeCredit:
		ok = h.Length == 4
	case messageTypePing:
		ok = h.StreamID == 0 && h.Length == pingLength
	case messageTypeGoodbye:
		ok = h.StreamID == 0 && h.Length >= 4 && h.Length <= maxControl
	default:
		ok = h.Type < messageTypePart && h.StreamID != 0 || h.Type >= messageTypeOptional
	}
	if ok {
		return nil
	}
	return &connError{fmt.Sprintf("a frame that extended mode does not allow: %s, id %d, flags %#x, %d bytes", h.Type, h.StreamID, h.Flags, h.Length)}
}
