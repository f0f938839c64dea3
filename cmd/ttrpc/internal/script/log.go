// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
)

// A Log writes a line of JSON for all that comes and goes. Calls are numbered.
type Log struct {
	format *message.Format

	mu    sync.Mutex
	w     io.Writer
	calls int
}

// NewLog returns a log to w, in which messages are written in a format.
func NewLog(w io.Writer, format *message.Format) *Log {
	compact := *format
	compact.Compact, compact.Text = true, false
	return &Log{format: &compact, w: w}
}

// A line is one of the log.
type line struct {
	Call     int             `json:"call"`
	Method   string          `json:"method"`
	Metadata ttrpc.MD        `json:"metadata,omitempty"`
	Received json.RawMessage `json:"received,omitempty"`
	Sent     json.RawMessage `json:"sent,omitempty"`
	Bytes    *int            `json:"bytes,omitempty"` // of a message that was sent back as it came
	Code     string          `json:"code,omitempty"`  // the call has ended
	Message  string          `json:"message,omitempty"`
}

func (l *Log) write(line *line) {
	text, err := json.Marshal(line)
	if err != nil {
		return // it is made of what can be marshalled
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Write(append(text, '\n'))
}

// A callLog is of one call.
type callLog struct {
	*Log
	call   int
	method string
}

// begin takes note of a call.
func (l *Log) begin(ctx context.Context, method string) *callLog {
	l.mu.Lock()
	l.calls++
	c := &callLog{l, l.calls, method}
	l.mu.Unlock()
	md, _ := ttrpc.GetMetadata(ctx)
	c.write(&line{Call: c.call, Method: method, Metadata: md})
	return c
}

func (c *callLog) received(m proto.Message) {
	c.write(&line{Call: c.call, Method: c.method, Received: c.json(m)})
}

func (c *callLog) sent(m proto.Message) {
	c.write(&line{Call: c.call, Method: c.method, Sent: c.json(m)})
}

func (c *callLog) bytes(n int) { c.write(&line{Call: c.call, Method: c.method, Bytes: &n}) }

// json returns a message as JSON, or why it cannot be.
func (c *callLog) json(m proto.Message) json.RawMessage {
	text, err := c.format.Marshal(m)
	if err != nil {
		text, _ = json.Marshal(err.Error())
	}
	return text
}

// ended takes note of how the call ends: with result, which may be nil, or err.
func (c *callLog) ended(result any, err error) {
	if m, ok := result.(proto.Message); ok && err == nil {
		c.sent(m)
	}
	end := &line{Call: c.call, Method: c.method, Code: "OK"}
	if err != nil {
		st := ttrpc.StatusOf(err)
		end.Code, end.Message = st.Code().String(), st.Message()
	}
	c.write(end)
}
