// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "slices"

// A RawMessage is a message in its encoding, which nobody looks at: a *RawMessage takes
// the place of a message, sent or received, in calls, on streams and in handlers, and as
// the Message of a [FileMessage]. A nil *RawMessage is an error.
type RawMessage struct {
	// Payload is the encoding. What is received is the receiver's to keep and to change.
	// A payload of 4 KiB or more that is at least half of the memory in which it arrived
	// is handed over with that memory and is not copied, except by a client with unary
	// interceptors. An interceptor of a server that decodes the request, and lets the
	// handler decode it again, must not change the payload.
	Payload []byte

	// EndsStream is set by RecvMsg of a [ClientStream]. It tells that the message is the
	// answer with which the server has ended the stream, and not one of those that it has
	// streamed; io.EOF follows. Even an empty answer is received, where RecvMsg of another
	// message returns io.EOF at once if the server streams. In a message that is sent it
	// means nothing.
	EndsStream bool
}

// minTaken is the smallest part of a frame that is worth the frame.
const minTaken = 4 << 10

// take returns b, which is part of f's data, as memory that has no other owner: f's own,
// which is then not pooled again, or a copy if b is small or only a small part of it.
func (f *frame) take(b []byte) []byte {
	if len(b) < minTaken || 2*len(b) < f.memory() {
		return append([]byte(nil), b...)
	}
	f.class = -1
	return slices.Clip(b)
}

// rawOf returns the raw message that m is, or is the message of, else nil.
func rawOf(m any) *RawMessage {
	if extra, ok := m.(extraMessage); ok {
		m = extra.message()
	}
	raw, _ := m.(*RawMessage)
	return raw
}

// rawPayload returns a payload that is encoded already.
func rawPayload(b []byte) payload {
	return payload{msg: &RawMessage{Payload: b}, size: len(b)}
}

// decode decodes b, which is part of f's data, into msg, whose old content is dropped. A
// raw message may be given the memory of f; others share no memory with it.
func (c codec) decode(f *frame, b []byte, msg any) error {
	if raw, ok := msg.(*RawMessage); ok && raw != nil {
		*raw = RawMessage{Payload: f.take(b)}
		return nil
	}
	return c.unmarshal(b, msg)
}
