// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc/internal/wire"
)

// A Kind is what an Event tells of.
type Kind uint8

// The kinds of events. Those with a call have Call set where the call is known.
const (
	Frame   Kind = iota // a frame has passed: Text has it in words
	Begin               // a call begins: Payload, Metadata, Timeout, Files
	Message             // a message of a stream: Payload, Files
	HalfEnd             // the caller of a stream sends no more
	Header              // metadata before the answer: Metadata
	Trailer             // metadata before the end: Metadata
	Cancel              // the caller gives up: Status says why
	Finish              // the call has ended: Status, and Payload of a unary one
	Lost                // the connection has ended before the call
	Agreed              // both speak the extended mode from here on: Text
	Goodbye             // who sends it serves no calls after Number: Status says why
	Control             // what holds the connection up: Text has it in words
	Note                // something is not as it should be: Text
)

var kindNames = [...]string{
	"frame", "begin", "message", "half-end", "header", "trailer", "cancel", "finish", "lost",
	"agreed", "goodbye", "control", "note",
}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// An Event is something that happened on a connection.
type Event struct {
	Kind       Kind
	At         time.Time
	FromServer bool   // it was sent by who was dialled
	Trunk      uint32 // on which of the trunk's connections; 0 if there is no trunk
	StreamID   uint32
	Call       *Call // nil if it belongs to none that is known

	Payload    []byte // the encoded message, nil if there is none or it was too long
	HasMessage bool   // there is a message, though Payload may be empty
	Size       int    // how many bytes the message has, also if it was too long
	Files      int    // how many descriptors come with it

	Metadata []wire.KeyValue
	Status   *spb.Status // nil is success
	Number   uint32
	Text     string
}

// Bytes returns about how many bytes of memory the event has of what a peer has sent, for those
// who keep events.
func (e *Event) Bytes() int {
	n := len(e.Payload) + len(e.Text) + proto.Size(e.Status) + 128*len(e.Status.GetDetails())
	for _, kv := range e.Metadata {
		n += 32 + len(kv.Key) + len(kv.Value) // the two strings themselves
	}
	return n
}

// Cut tells whether the message was too long to be kept.
func (e *Event) Cut() bool { return e.HasMessage && e.Payload == nil }

// Failed tells whether a call has ended, and not with success.
func (e *Event) Failed() bool {
	return e.Kind == Lost || e.Kind == Finish && e.Status.GetCode() != 0
}

// A Call is one call or stream. It does not change once it was told of.
type Call struct {
	StreamID   uint32
	FromServer bool      // the caller is who was dialled
	Service    string    // "package.Service"
	Method     string    // "Method"
	Begun      time.Time // when the request was complete
	Timeout    time.Duration

	// What the request says of the call. A request without flags may be that of a stream to
	// peers of the releases before v1.2 only.
	Streams bool // it was opened as a stream
	Sends   bool // the caller sends messages after the request
}

// FullMethod returns "/package.Service/Method", or "" if c is nil.
func (c *Call) FullMethod() string {
	if c == nil {
		return ""
	}
	return "/" + c.Service + "/" + c.Method
}
