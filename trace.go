// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync/atomic"
	"time"
)

// A Trace is told what happens on connections, for metrics, tracing or a dump of frames.
// Its functions are called where it happens, and hold that up: they must be quick and must
// not use the connection. They may be called concurrently. A function that is nil costs
// nothing, and without a Trace nothing is spent on it.
type Trace struct {
	// Conn is called when a connection begins, after its handshake. The function that
	// it returns, which may be nil, is called once, when the connection has ended; the
	// cause is that of [Client.Cause].
	Conn func(ConnInfo) (end func(cause error))

	// Refused is called when the handshake of a connection fails, or there are too many
	// connections after it; Conn is never told of these. The error says why. Info.Peer has
	// addresses, and no AuthInfo.
	Refused func(info ConnInfo, err error)

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
	Server bool   // this side is the server, whoever dialled
	Peer   *Peer  // nil before the handshake is over; shared, it must not be changed
}

// CallInfo tells which call or stream something happens to.
type CallInfo struct {
	Conn       ConnInfo
	StreamID   uint32
	FullMethod string // "/package.Service/Method"
	Served     bool   // this side runs the handler; else it is the caller

	// Known tells whether this side has registered the method. If it has not, FullMethod
	// is whatever the peer has sent.
	Known bool

	// What kind of call it is. Of a method that is not Known it is what the peer makes of
	// it, and whether the server would stream is not known.
	Unary           bool // one request, one answer
	StreamingClient bool // the client may send any number of messages, else it sends one
	StreamingServer bool // the server may send any number of messages, else it returns one
}

// FrameInfo tells of a frame. PROTOCOL.md says what its fields mean.
type FrameInfo struct {
	Conn     ConnInfo
	Sent     bool // it leaves; else it has come
	StreamID uint32
	Type     uint8
	Flags    uint8
	Length   int    // how many bytes of data it has, beside a header of 10
	Data     []byte // the data, valid until the function returns; nil if it is dropped unread
}

// WithClientTrace has t told what happens on the client's connection. Of several traces all
// are told, in the order in which they are given.
func WithClientTrace(t *Trace) ClientOpts {
	if t == nil {
		panic("ttrpc: the trace is nil")
	}
	return func(c *Client) {
		c.config.trace = t.after(c.config.trace)
		c.config.begin = (*link).begin
	}
}

// WithServerTrace has t told what happens on the server's connections. Of several traces all
// are told, in the order in which they are given.
func WithServerTrace(t *Trace) ServerOpt {
	if t == nil {
		panic("ttrpc: the trace is nil")
	}
	return func(c *serverConfig) error {
		c.trace = t.after(c.trace)
		return nil
	}
}

// after returns a trace that tells those that were given before, if there are any, and then t.
func (t *Trace) after(before tracer) *Trace {
	first, ok := before.(*Trace)
	if !ok {
		return t
	}
	both := &Trace{Conn: joinTold(first.Conn, t.Conn), Call: joinTold(first.Call, t.Call), Refused: first.Refused, Frame: first.Frame}
	if both.Frame == nil {
		both.Frame = t.Frame
	} else if t.Frame != nil {
		both.Frame = func(info FrameInfo) {
			first.Frame(info)
			t.Frame(info)
		}
	}
	if both.Refused == nil {
		both.Refused = t.Refused
	} else if t.Refused != nil {
		both.Refused = func(info ConnInfo, err error) {
			first.Refused(info, err)
			t.Refused(info, err)
		}
	}
	return both
}

// joinTold joins two functions of traces that are told of a beginning and return one that is
// told of the end. Any of these may be nil.
func joinTold[T any](first, second func(T) func(error)) func(T) func(error) {
	if first == nil {
		return second
	}
	if second == nil {
		return first
	}
	return func(info T) func(error) {
		one, two := first(info), second(info)
		if one == nil {
			return two
		}
		if two == nil {
			return one
		}
		return func(err error) {
			one(err)
			two(err)
		}
	}
}

// lastNumber counts the connections of the process.
var lastNumber atomic.Uint64

// info tells of the connection. mu must be held, or the connection have started.
func (c *conn) info() ConnInfo {
	info := ConnInfo{ID: c.number, Server: c.role == roleServer}
	if c.base != nil {
		info.Peer, _ = c.base.Value(peerKey{}).(*Peer)
	}
	return info
}

// An about is what a stream is to those who look from outside, at the end that opened it.
type about struct {
	service, method string // immutable while the stream is in the table

	deadline time.Time // of a client's stream, immutable while that is in the table; zero if there is none

	// Of a client's stream, guarded by its connection's mu.
	late   bool        // the server has ended it, with DeadlineExceeded
	traced func(error) // is told of the end
	told   error       // how it has ended, if there is a trace
}

// isOwnDeadlineLocked is isOwnDeadline of how a client's stream has ended.
func (a *about) isOwnDeadlineLocked() bool {
	return a != nil && a.late && !a.deadline.IsZero() && !time.Now().Before(a.deadline)
}

// A tracer is a *Trace as connections see it, which is linked only where one is given.
type tracer interface {
	// connBegins is called before the connection is read.
	connBegins(*conn)

	// sent is called with the frames that are about to be written.
	sent(c *conn, f *frame)

	// callBegins is called when a client's unary call begins. What it returns, which may
	// be nil, is called at its end.
	callBegins(*stream) (end func(ctx context.Context, answer *frame, err error))

	// streamBegins is called when a client's stream begins, which may have ended. The client
	// may stream or not.
	streamBegins(s *stream, streamingClient bool)

	// streamEndsLocked is called when a client's stream ends, with an error or the answer
	// that ended it, with the connection's mu held.
	streamEndsLocked(s *stream, answer *frame, err error)
}

// A callTracer is what a tracer is to servers.
type callTracer interface {
	// servedBegins is called when the server begins a call. What it returns, which may be
	// nil, is called with the answer, and what that returns once the answer was sent.
	servedBegins(d *dispatcher, call *serverCall) (end func(answer *frame) func())
}

// A refusalTracer is what a tracer is to connections that do not begin.
type refusalTracer interface {
	refused(*conn, error)
}

func (t *Trace) connBegins(c *conn) {
	if t.Frame != nil {
		c.ch.seen = func(h messageHeader, data []byte) { t.tellFrame(c, h, data, false) }
	}
	if t.Conn == nil {
		return
	}
	if ended := t.Conn(c.info()); ended != nil {
		c.onEnd(ended)
	}
}

// traceRefused tells the trace, if there is one, that the connection does not begin.
func traceRefused(c *conn, err error) {
	if t, ok := c.cfg.trace.(refusalTracer); ok {
		t.refused(c, err)
	}
}

func (t *Trace) refused(c *conn, err error) {
	if t.Refused != nil {
		peer := &Peer{Addr: c.nc.RemoteAddr(), LocalAddr: c.nc.LocalAddr()}
		t.Refused(ConnInfo{ID: c.number, Server: c.role == roleServer, Peer: peer}, err)
	}
}

// tellCall tells that a call begins. What it returns, which may be nil, is to be called at
// its end.
func (t *Trace) tellCall(c *conn, info CallInfo) (end func(err error)) {
	if t.Call == nil {
		return nil
	}
	c.mu.Lock()
	info.Conn = c.info()
	c.mu.Unlock()
	told := t.Call(info)
	if told == nil {
		return nil
	}
	return func(err error) {
		if err != nil {
			err = asStatus(err, c.why())
		}
		told(err)
	}
}

func (t *Trace) tellFrame(c *conn, h messageHeader, data []byte, sent bool) {
	t.Frame(FrameInfo{c.info(), sent, h.StreamID, uint8(h.Type), h.Flags, int(h.Length), data})
}

func (t *Trace) sent(c *conn, f *frame) {
	if t.Frame == nil {
		return
	}
	for b := f.data; len(b) > 0; {
		h, _ := parseHeader(b)
		n := messageHeaderLength + int(h.Length)
		t.tellFrame(c, h, b[messageHeaderLength:n], true)
		b = b[n:]
	}
}

func (t *Trace) callBegins(s *stream) func(ctx context.Context, answer *frame, err error) {
	end := t.tellCall(s.conn, CallInfo{StreamID: s.id, FullMethod: s.fullMethod(), Unary: true})
	if end == nil {
		return nil
	}
	return func(ctx context.Context, answer *frame, err error) {
		if err == nil {
			_, err = responsePayload(ctx, answer.data)
		}
		end(err)
	}
}

// streamEndsLocked implements [tracer]. The trace is told once the lock is released.
func (t *Trace) streamEndsLocked(s *stream, answer *frame, err error) {
	if s.call != nil || s.unary {
		return
	}
	if answer != nil {
		answer.join()
		_, err = responsePayload(context.Background(), answer.data)
	}
	c := s.conn
	about := s.about
	about.told = err
	if end := about.traced; end != nil {
		about.traced = nil
		c.after = append(c.after, func() { end(err) })
	}
}

func (t *Trace) streamBegins(s *stream, streamingClient bool) {
	c := s.conn
	end := t.tellCall(c, CallInfo{
		StreamID: s.id, FullMethod: s.fullMethod(),
		StreamingClient: streamingClient, StreamingServer: s.streams,
	})
	if end == nil {
		return
	}
	c.mu.Lock()
	defer c.unlock()
	about := s.about
	about.traced = end
	if !s.isActive() {
		t.streamEndsLocked(s, nil, about.told)
	}
}

func (t *Trace) servedBegins(d *dispatcher, call *serverCall) func(answer *frame) func() {
	d.route(call)
	name := call.fullMethod()
	if v, err := parseRequest(call.request.data); name == "" && err == nil {
		name = fullPath(string(v.service), string(v.method))
	}
	info := CallInfo{StreamID: call.id, FullMethod: name, Served: true, Known: call.known}
	switch {
	case call.streamMethod != nil:
		info.StreamingClient, info.StreamingServer = call.streamMethod.info.StreamingClient, call.streamMethod.info.StreamingServer
	case call.method != nil:
		info.Unary = true
	default:
		state := acceptedState(call.request.header.Flags)
		info.Unary, info.StreamingClient = state == stateUnary, state == stateOpen
	}
	end := t.tellCall(call.conn, info)
	if end == nil {
		return nil
	}
	return func(answer *frame) func() {
		err := call.outcome(answer)
		return func() { end(err) }
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
