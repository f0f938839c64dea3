// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// The frames that only the extended mode has; internal/wire tells what they hold.
const (
	messageTypePart     = wire.TypePart
	messageTypeFiles    = wire.TypeFiles
	messageTypeCancel   = wire.TypeCancel
	messageTypeCredit   = wire.TypeCredit
	messageTypePing     = wire.TypePing
	messageTypeGoodbye  = wire.TypeGoodbye
	messageTypeMetadata = wire.TypeMetadata
	messageTypeWant     = wire.TypeWant
	messageTypeReturn   = wire.TypeReturn
	messageTypeOptional = wire.TypeOptional

	flagReset   = wire.FlagReset
	flagAnswer  = wire.FlagAnswer
	flagTrailer = wire.FlagTrailer
	flagLast    = wire.FlagLast
	flagAsked   = wire.FlagAsked
	flagStream  = wire.FlagStream
	flagRefused = wire.FlagRefused

	pingLength = wire.PingLength
	maxControl = wire.MaxControl
)

// numberFrame returns a sealed frame whose data is a number.
func numberFrame(t messageType, id, n uint32) *frame {
	f := newOutFrame(wire.NumberLength)
	f.data = wire.AppendNumber(f.data, n)
	f.seal(messageHeader{StreamID: id, Type: t})
	return f
}

// emptyPart returns a sealed part that has no data yet.
func emptyPart(id uint32) *frame {
	f := newOutFrame(0)
	f.seal(messageHeader{StreamID: id, Type: messageTypePart})
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
	f.data = appendStatus(f.data, StatusOf(why))
	f.seal(messageHeader{StreamID: id, Type: messageTypeCancel})
	return f
}

// goodbyeFrame returns a sealed frame that tells the last id that is served.
func goodbyeFrame(last uint32, why *status.Status) *frame {
	f := newOutFrame(wire.NumberLength)
	f.data = appendStatus(wire.AppendGoodbye(f.data, last, nil), why)
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
	p, err := marshalStatus(st.Proto())
	if err != nil || len(p) > maxControl/2 {
		return b
	}
	return append(b, p...)
}

// parseReason decodes a status that tells why; one that tells nothing becomes one of
// the code otherwise. What it keeps is bounded, whatever came.
func parseReason(b []byte, otherwise codes.Code) *status.Status {
	code, message := wire.ParseReason(b)
	if code == int32(codes.OK) {
		return status.New(otherwise, message)
	}
	return status.New(codes.Code(code), message)
}

// numberOf returns the number that a credit, want, return or files frame holds.
// checkControl has found it there.
func numberOf(f *frame) uint32 {
	n, _ := wire.ParseNumber(f.data)
	return n
}

// checkControl says what is wrong with the header of a frame that only the
// extended mode has.
func checkControl(h messageHeader) error {
	if err := wire.CheckControl(h); err != nil {
		return &connError{err.Error()}
	}
	return nil
}
