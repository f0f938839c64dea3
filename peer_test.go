// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A rawPeer is one end of a connection that speaks frames. What it receives
// is kept until a want method asks for it. It is for use in a synctest bubble.
type rawPeer struct {
	t    *testing.T
	conn net.Conn

	mu     sync.Mutex
	frames []rawFrame
	end    error
}

type rawFrame struct {
	messageHeader
	data []byte
}

func newRawPeer(t *testing.T, conn net.Conn) *rawPeer {
	p := &rawPeer{t: t, conn: conn}
	go p.receive()
	return p
}

func (p *rawPeer) receive() {
	ch := newChannelSize(p.conn, messageLengthCap)
	for {
		h, data, err := ch.recv()
		p.mu.Lock()
		if err != nil {
			p.end = err
			p.mu.Unlock()
			return
		}
		p.frames = append(p.frames, rawFrame{h, data})
		p.mu.Unlock()
	}
}

// send writes one frame.
func (p *rawPeer) send(id uint32, typ messageType, flags uint8, data []byte) {
	p.t.Helper()
	p.write(frameBytes(id, typ, flags, data))
}

func (p *rawPeer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// request opens a call with the given message.
func (p *rawPeer) request(id uint32, flags uint8, method string, msg proto.Message) {
	p.t.Helper()
	r := &Request{Service: "test", Method: method}
	if msg != nil {
		r.Payload = encode(p.t, msg)
	}
	p.send(id, messageTypeRequest, flags, encode(p.t, r))
}

// next returns the next frame that has arrived once all is quiet.
func (p *rawPeer) next(rule string) rawFrame {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.frames) == 0 {
		p.t.Fatalf("%s: no frame came (the connection: %v)", rule, p.end)
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	return f
}

// want requires the next frame to be this one.
func (p *rawPeer) want(rule string, id uint32, typ messageType, flags uint8, data []byte) {
	p.t.Helper()
	f := p.next(rule)
	if f.StreamID != id || f.Type != typ || f.Flags != flags || !bytes.Equal(f.data, data) {
		p.t.Errorf("%s: got %v on %d with flags %#x and %x, want %v on %d with %#x and %x", rule, f.Type, f.StreamID, f.Flags, f.data, typ, id, flags, data)
	}
}

// wantResult requires the next frame to be the response to id with msg.
func (p *rawPeer) wantResult(rule string, id uint32, msg proto.Message) {
	p.t.Helper()
	p.want(rule, id, messageTypeResponse, 0, encode(p.t, &Response{Payload: encode(p.t, msg)}))
}

// wantStatus requires the next frame to be a response to id with that status.
func (p *rawPeer) wantStatus(rule string, id uint32, code codes.Code, msg string) {
	p.t.Helper()
	f := p.next(rule)
	var r Response
	if err := proto.Unmarshal(f.data, &r); err != nil {
		p.t.Fatalf("%s: %v", rule, err)
	}
	if f.StreamID != id || f.Type != messageTypeResponse || r.Status.GetCode() != int32(code) || r.Status.GetMessage() != msg {
		p.t.Errorf("%s: got %v on %d with %v, want the status %v %q on %d", rule, f.Type, f.StreamID, &r, code, msg, id)
	}
}

// wantNothing requires that no frame has come.
func (p *rawPeer) wantNothing(rule string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.frames) > 0 {
		f := p.frames[0]
		p.t.Errorf("%s: an unexpected %v on %d with %x came", rule, f.Type, f.StreamID, f.data)
	}
}

// wantEnd requires that the other side has closed the connection.
func (p *rawPeer) wantEnd(rule string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		p.t.Errorf("%s: the connection lives", rule)
	}
}

// wantAlive requires that the other side has not closed the connection.
func (p *rawPeer) wantAlive(rule string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		p.t.Errorf("%s: the connection has ended: %v", rule, p.end)
	}
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantClean requires that a connection has nothing left of any call.
func wantClean(t *testing.T, rule string, c *conn) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) != 0 || c.out.count != 0 || c.out.bytes != 0 || c.writing || c.total.Load() != 0 {
		t.Errorf("%s: left are %d streams, %d frames of %d bytes, %d bytes in queues, writing %v", rule, len(c.streams), c.out.count, c.out.bytes, c.total.Load(), c.writing)
	}
}

// A testServer is a server with the service "test" and one raw peer on it.
type testServer struct {
	*Server
	peer *rawPeer
	conn *conn // the server's side of the peer's connection

	// Handlers of the methods that wait take their answer from here.
	answers chan error
	// Every handler that waits puts its context here first.
	contexts chan context.Context
}

func newTestServer(t *testing.T, opts ...ServerOpt) *testServer {
	t.Helper()
	s, err := NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{Server: s, answers: make(chan error), contexts: make(chan context.Context, 1000)}
	s.RegisterService("test", ts.service())
	ts.peer, ts.conn = ts.connect(t, 0)
	t.Cleanup(func() { s.Close(); ts.peer.conn.Close() })
	return ts
}

// connect adds a connection whose directions hold limit bytes.
func (ts *testServer) connect(t *testing.T, limit int) (*rawPeer, *conn) {
	t.Helper()
	a, b := memconn.Pipe(limit)
	c := ts.add(t, b)
	return newRawPeer(t, a), c
}

// add adds a connection over nc and returns the server's side of it.
func (ts *testServer) add(t *testing.T, nc net.Conn) *conn {
	t.Helper()
	old := ts.connectionSet()
	ts.accept(t.Context(), nc)
	for c := range ts.connectionSet() {
		if !old[c] {
			return c
		}
	}
	t.Fatal("the connection was refused")
	return nil
}

func (ts *testServer) connectionSet() map[*conn]bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	set := map[*conn]bool{}
	for c := range ts.connections {
		set[c] = true
	}
	return set
}

// service is what the frame-level tests call.
func (ts *testServer) service() *ServiceDesc {
	wait := func(ctx context.Context) error {
		ts.contexts <- ctx
		return <-ts.answers
	}
	return &ServiceDesc{
		Methods: map[string]Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				m := new(wrapperspb.StringValue)
				return m, unmarshal(m)
			},
			"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				return wrapperspb.String("waited"), wait(ctx)
			},
			"Big": func(context.Context, func(any) error) (any, error) {
				return wrapperspb.Bytes(make([]byte, messageLengthMax)), nil
			},
		},
		Streams: map[string]Stream{
			"Bidi":  {Handler: echoStream, StreamingClient: true, StreamingServer: true},
			"Sum":   {Handler: sumStream, StreamingClient: true},
			"Count": {Handler: countStream, StreamingServer: true},
			"Stall": { // takes nothing until told
				StreamingClient: true, StreamingServer: true,
				Handler: func(ctx context.Context, _ StreamServer) (any, error) { return nil, wait(ctx) },
			},
			"Late": { // takes one message, late
				StreamingClient: true,
				Handler: func(ctx context.Context, ss StreamServer) (any, error) {
					time.Sleep(smallQueue.Patience / 2)
					m := new(wrapperspb.BytesValue)
					return m, errors.Join(ss.RecvMsg(m), wait(ctx))
				},
			},
		},
	}
}

func echoStream(_ context.Context, ss StreamServer) (any, error) {
	for {
		var m wrapperspb.StringValue
		if err := ss.RecvMsg(&m); err != nil {
			return nil, endOfStream(err)
		}
		if m.Value == "fail" {
			return nil, status.Error(codes.DataLoss, "asked to fail")
		}
		if err := ss.SendMsg(&m); err != nil {
			return nil, err
		}
	}
}

func sumStream(_ context.Context, ss StreamServer) (any, error) {
	sum := new(wrapperspb.Int64Value)
	for {
		var m wrapperspb.Int64Value
		if err := ss.RecvMsg(&m); err != nil {
			return sum, endOfStream(err)
		}
		sum.Value += m.Value
	}
}

func countStream(_ context.Context, ss StreamServer) (any, error) {
	var n wrapperspb.Int64Value
	if err := ss.RecvMsg(&n); err != nil {
		return nil, err
	}
	if err := ss.RecvMsg(new(emptypb.Empty)); endOfStream(err) != nil || err == nil {
		return nil, status.Errorf(codes.Internal, "a second message: %v", err)
	}
	for i := range n.Value {
		if err := ss.SendMsg(wrapperspb.Int64(i)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// A countingLogger counts what it is told.
type countingLogger struct{ errors, warnings, others atomic.Int32 }

func (l *countingLogger) Debug(string, ...any) { l.others.Add(1) }
func (l *countingLogger) Info(string, ...any)  { l.others.Add(1) }
func (l *countingLogger) Warn(string, ...any)  { l.others.Add(1); l.warnings.Add(1) }
func (l *countingLogger) Error(string, ...any) { l.errors.Add(1) }

// wantDone requires that something has ended with err.
func wantDone(t *testing.T, rule string, done <-chan error, want error) {
	t.Helper()
	select {
	case err := <-done:
		if err != want {
			t.Errorf("%s: %v", rule, err)
		}
	default:
		t.Errorf("%s: it still waits", rule)
	}
}
