// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vector reads the cases, makes bytes of what they send, and compares what comes with
// what they expect.
//
// A case is a list of steps. The runner is the raw peer: it sends frames, expects frames, and
// tells the client under test which calls to make.
package vector

import "encoding/json"

// A File has the cases of one level.
type File struct {
	Level string `json:"level"`
	About string `json:"about"`
	Cases []Case `json:"cases"`
}

// A Case is one conversation with a peer under test.
type Case struct {
	Name  string `json:"name"`  // level/what, unique
	About string `json:"about"` // what the peer has to do
	Peer  string `json:"peer"`  // who is under test: Server or Client
	Rule  string `json:"rule"`  // a number of docs/rules.md, or a heading of PROTOCOL.md as #heading
	Force string `json:"force"` // Must or May
	// Hello, if there is one, is what the raw peer says of itself before the first step.
	Hello *Hello   `json:"hello,omitempty"`
	Needs []string `json:"needs,omitempty"` // what the peer's Hello must list, or the case is skipped
	// Cut says to play the case once for each place at which the first send may be cut, and to
	// end the connection there.
	Cut   bool   `json:"cut,omitempty"`
	Split bool   `json:"split,omitempty"` // each byte is written by itself
	Steps []Step `json:"steps"`

	Level string `json:"-"`
}

// The values of Case.Peer and Case.Force.
const (
	Server = "server"
	Client = "client"
	Must   = "must"
	May    = "may"
)

// A Step has one field that is set.
type Step struct {
	Send   []Frame `json:"send,omitempty"`   // frames of the raw peer, in one write
	Expect []Frame `json:"expect,omitempty"` // frames of the peer: on each stream in this order
	Credit *Credit `json:"credit,omitempty"` // wait until the peer has given so much
	Ask    *Ask    `json:"ask,omitempty"`    // see to the credit of what is sent next
	Alive  string  `json:"alive,omitempty"`  // the connection works ("same"), or a new one does ("new")
	Closed bool    `json:"closed,omitempty"` // the peer closes the connection
	Close  string  `json:"close,omitempty"`  // the raw peer closes it: "both" directions, or "write"
	// Connect closes the connection with a server, if there is one, and makes a new one.
	Connect bool    `json:"connect,omitempty"`
	Repeat  *Repeat `json:"repeat,omitempty"` // steps again and again

	Call   *Call   `json:"call,omitempty"`   // the client under test makes a call
	Cancel int     `json:"cancel,omitempty"` // it gives that call up
	End    string  `json:"end,omitempty"`    // it ends its connection: "close", or "leave" with a goodbye
	Result *Result `json:"result,omitempty"` // what became of a call
}

// A Hello is what the raw peer says of itself. Numbers that are 0 are large ones.
type Hello struct {
	Features         []string `json:"features,omitempty"`
	MaxMessage       uint64   `json:"max_message,omitempty"`
	Window           uint64   `json:"window,omitempty"`
	ConnectionWindow uint64   `json:"connection_window,omitempty"`
	Serves           bool     `json:"serves,omitempty"`
	Version          *uint64  `json:"version,omitempty"`
}

// A Frame is sent or expected. Of the fields from Request on one at most is set; without one
// the frame has no data.
type Frame struct {
	Stream uint32 `json:"stream"`
	Type   Type   `json:"type"`
	Flags  Flags  `json:"flags,omitempty"`
	Length *int64 `json:"length,omitempty"` // sent: what the header says; there is as much data as stands here

	Request  *Request        `json:"request,omitempty"`
	Response *Response       `json:"response,omitempty"`
	Message  json.RawMessage `json:"message,omitempty"` // a Request of the caller's, an Answer of the callee's
	Hex      *string         `json:"hex,omitempty"`
	Zeros    int             `json:"zeros,omitempty"` // so many bytes 00
	Status   *Status         `json:"status,omitempty"`
	Number   *uint32         `json:"number,omitempty"`
	Goodbye  *Goodbye        `json:"goodbye,omitempty"`
	Metadata []Pair          `json:"metadata,omitempty"`

	Part  []int    `json:"part,omitempty"`  // sent: cut after so many bytes each; what remains has the type
	Files []string `json:"files,omitempty"` // contents of the descriptors that go or come with the message
	// Overdraw makes a message of so many bytes more than there is credit for.
	Overdraw int `json:"overdraw,omitempty"`
}

// A Request is what opens a stream.
type Request struct {
	Service *string         `json:"service,omitempty"` // Conformance's, if it is not here
	Method  string          `json:"method"`
	Message json.RawMessage `json:"message,omitempty"`
	Hex     *string         `json:"hex,omitempty"` // in place of the message
	Timeout *Range          `json:"timeout_ms,omitempty"`
	Meta    []Pair          `json:"metadata,omitempty"`
	Hello   *Hello          `json:"hello,omitempty"`
}

// A Response is what ends a stream.
type Response struct {
	Message json.RawMessage `json:"message,omitempty"`
	Hex     *string         `json:"hex,omitempty"`
	Status  *Status         `json:"status,omitempty"`
	Hello   *Hello          `json:"hello,omitempty"`
}

// A Status is a google.rpc.Status. What is expected may have a list of codes, "*" in its text for
// any text, and details.
type Status struct {
	Code    Codes             `json:"code"`
	Text    string            `json:"text,omitempty"`
	Details []json.RawMessage `json:"details,omitempty"`
}

// A Goodbye is the data of one.
type Goodbye struct {
	Last   Codes   `json:"last"` // of what is expected a list, of which one comes
	Status *Status `json:"status,omitempty"`
}

// A Pair is a key and a value.
type Pair [2]string

// Credit waits for credit, however it is given.
type Credit struct {
	Stream uint32 `json:"stream"`
	Min    uint64 `json:"min"` // in all, since the beginning
}

// Ask sees to it that a message of so many bytes may be sent, by a want if need be.
type Ask struct {
	Stream uint32 `json:"stream"` // 0: a request
	Size   int    `json:"size"`
}

// A Call is a command for the client under test.
type Call struct {
	ID       int               `json:"id"`
	Method   string            `json:"method"`
	Messages []json.RawMessage `json:"messages,omitempty"`
	Metadata []Pair            `json:"metadata,omitempty"`
	Timeout  int               `json:"timeout_ms,omitempty"`
	KeepOpen bool              `json:"keep_open,omitempty"` // do not close the sending side
	Files    []string          `json:"files,omitempty"`
}

// A Result is what the client says became of a call.
type Result struct {
	Of       int               `json:"of"`
	Code     Codes             `json:"code"`
	Text     string            `json:"text,omitempty"` // "*" stands for any text; without it, any
	Messages []json.RawMessage `json:"messages,omitempty"`
	Partial  bool              `json:"partial,omitempty"` // whatever messages have come
	Details  []json.RawMessage `json:"details,omitempty"`
	Header   []Pair            `json:"header,omitempty"`
	Trailer  []Pair            `json:"trailer,omitempty"`
	Files    []string          `json:"files,omitempty"`
}

// A Type is a frame's type, by name or number.
type Type uint8

// Flags are a frame's flags; of what is expected a list of those that are taken.
type Flags []int

// A Repeat plays its steps several times. Each time the ids of odd streams and of calls are
// higher by as much as Streams and Calls say.
type Repeat struct {
	Times   int    `json:"times"`
	Streams int    `json:"streams,omitempty"`
	Calls   int    `json:"calls,omitempty"`
	Steps   []Step `json:"steps"`
}

// Codes are those that are taken: one number, a list, or "any" but success.
type Codes struct {
	List []int
	Any  bool
}

// A Range is a number, or the least and the most.
type Range struct{ Min, Max int64 }
