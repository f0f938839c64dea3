// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync/atomic"
)

// A Trace is told what happens on connections, for metrics, tracing or a dump of frames.
// Its functions are called where it happens and hold that up, so they must be quick and
// must not use the connection; they may be called concurrently. Those that are nil cost
// nothing, and without a Trace nothing is spent on it.
type Trace struct {
	// Conn is called when a connection begins, after its handshake. The function that
	// it returns, which may be nil, is called once, when the connection has ended; the
	// cause is that of [Client.Cause].
	Conn func(ConnInfo) (end func(cause error))

	// Call is called when a call or stream begins: at its caller once it has an id, at
	// the other end before its handler runs. The function that it returns, which may be
	// nil, is called once, when the call has ended at this side, with nil or an error
	// that is a status of google.golang.org/grpc.
	Call func(CallInfo) (end func(err error))

	// Frame is called for each frame: after it was read, before it is written.
	Frame func(FrameInfo)
}

// ConnInfo tells which connection something happens on.
type ConnInfo struct {
	ID     uint64 // counts the connections of the process
	Server bool   // this side accepted it
	Peer   *Peer  // shared; it must not be changed
}

// CallInfo tells which call or stream something happens to.
type CallInfo struct {
	Conn       ConnInfo
	StreamID   uint32
	FullMethod string // "/package.Service/Method"
	Served     bool   // this side runs the handler; else it is the caller
}

// FrameInfo tells of a frame. PROTOCOL.md says what its fields mean.
type FrameInfo struct {
	Conn     ConnInfo
	Sent     bool // it leaves; else it has come
	StreamID uint32
	Type     uint8
	Flags    uint8
	Length   int    // how many bytes of data it has, beside a header of 10
	Data     []byte // those, until the function returns; nil if they are dropped, unread
}

// WithClientTrace has t told what happens on the client's connection.
func WithClientTrace(t *Trace) ClientOpts {
	return func(c *Client) { c.config.trace = t }
}

// WithServerTrace has t told what happens on the server's connections.
func WithServerTrace(t *Trace) ServerOpt {
	return func(c *serverConfig) error {
		c.trace = t
		return nil
	}
}

// lastNumber counts the connections of the process.
var lastNumber atomic.Uint64

// info tells of the connection, which has started.
func (c *conn) info() ConnInfo {
	peer, _ := c.base.Value(peerKey{}).(*Peer)
	return ConnInfo{ID: c.number, Server: c.role == roleServer, Peer: peer}
}

// An about is what a stream is to those who look from outside.
type about struct {
	service, method string // immutable

	// Of a client's stream, guarded by its connection's mu.
	traced func(error) // is told of the end
	told   error       // how it has ended, if there is a trace
}

// traceConn tells the trace that the connection begins.
func (c *conn) traceConn() {
	t := c.cfg.trace
	if t == nil || c.base == nil {
		return
	}
	if t.Frame != nil {
		c.ch.seen = func(h messageHeader, data []byte) { c.traceFrame(h, data, false) }
	}
	if t.Conn == nil {
		return
	}
	if ended := t.Conn(c.info()); ended != nil {
		c.onEnd(ended)
	}
}

// traceCall tells the trace that a call begins. What it returns, which may be nil, is to
// be called at its end.
func (c *conn) traceCall(id uint32, fullMethod string, served bool) (end func(err error)) {
	t := c.cfg.trace
	if t == nil || t.Call == nil {
		return nil
	}
	told := t.Call(CallInfo{Conn: c.info(), StreamID: id, FullMethod: fullMethod, Served: served})
	if told == nil {
		return nil
	}
	return func(err error) {
		if err != nil {
			err = statusOf(err).Err()
		}
		told(err)
	}
}

func (c *conn) traceFrame(h messageHeader, data []byte, sent bool) {
	c.cfg.trace.Frame(FrameInfo{c.info(), sent, h.StreamID, uint8(h.Type), h.Flags, int(h.Length), data})
}

// traceSent tells the trace of the frames that are about to be written.
func (c *conn) traceSent(f *frame) {
	if t := c.cfg.trace; f == nil || t == nil || t.Frame == nil {
		return
	}
	for b := f.data; len(b) > 0; {
		h, _ := parseHeader(b)
		n := messageHeaderLength + int(h.Length)
		c.traceFrame(h, b[messageHeaderLength:n], true)
		b = b[n:]
	}
}

// traceAnswer ends the trace of a client's unary call.
func traceAnswer(ctx context.Context, end func(error), f *frame, err error) {
	if end == nil {
		return
	}
	if err == nil {
		_, err = responsePayload(ctx, f.data)
	}
	end(err)
}

// traceEndLocked has the trace told of the end of a client's stream once the lock is
// released.
func (c *conn) traceEndLocked(s *stream, err error) {
	if c.cfg.trace == nil || s.call != nil || s.unary {
		return
	}
	about := s.about.Load()
	about.told = err
	if end := about.traced; end != nil {
		about.traced = nil
		c.after = append(c.after, func() { end(err) })
	}
}

// traceStream tells the trace that a client's stream begins, which may have ended.
func (c *conn) traceStream(s *stream) {
	end := c.traceCall(s.id, s.fullMethod(), false)
	if end == nil {
		return
	}
	c.mu.Lock()
	defer c.unlock()
	about := s.about.Load()
	about.traced = end
	if !s.isActive() {
		c.traceEndLocked(s, about.told)
	}
}

// outcome is how a call ends whose answer this is, unless it has ended before.
func (call *serverCall) outcome(answer *frame) error {
	call.conn.mu.Lock()
	err := call.err
	call.conn.mu.Unlock()
	if h, _ := parseHeader(answer.data); err == nil && h.Type == messageTypeResponse {
		_, err = responsePayload(context.Background(), answer.data[messageHeaderLength:])
	}
	return err
}
