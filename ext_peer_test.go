// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/wire"
)

// peerHello is what raw peers of the tests say of themselves.
func peerHello() hello {
	return hello{Version: 1, MaxMessage: messageLengthMax, Window: defaultWindow, ConnectionWindow: defaultConnectionBytes, Serves: true}
}

// helloRequest is the data of a request that asks for the extended mode.
func helloRequest(t testing.TB, payload []byte) []byte {
	t.Helper()
	return wire.HelloRequest(payload)
}

// onExtendedServer runs f in a bubble with a server that has agreed on the extended mode
// with a raw peer which says h of itself. It requires that nothing is left afterwards.
func onExtendedServer(t *testing.T, h hello, f func(t *testing.T, ts *testServer, p *rawPeer), opts ...ServerOpt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, append([]ServerOpt{WithServerExtensions()}, opts...)...)
		ts.peer.agree(h)
		f(t, ts, ts.peer)
		ts.peer.conn.Close()
		wantAllClean(t, "after the test", ts.conn)
	})
}

// agree asks a server for the extended mode and takes its answer.
func (p *rawPeer) agree(h hello) {
	p.t.Helper()
	p.send(1, messageTypeRequest, 0, helloRequest(p.t, h.Append(nil)))
	if f := p.next("B46"); f.StreamID != 1 || f.Type != messageTypeResponse {
		p.t.Fatalf("B46: the answer to Hello is %v on %d", f.Type, f.StreamID)
	}
}

// onExtendedClient is onExtendedServer for a client, whose next id is 3.
func onExtendedClient(t *testing.T, h hello, f func(t *testing.T, c *Client, p *rawPeer), opts ...ClientOpts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		p := newRawPeer(t, b)
		c := NewClient(a, append([]ClientOpts{WithExtensions()}, opts...)...)
		t.Cleanup(func() { c.Close(); b.Close() })
		p.answerHello(h)
		if ok, err := c.Extended(t.Context()); !ok || err != nil {
			t.Fatalf("B46: extended %v, %v", ok, err)
		}
		f(t, c, p)
		c.Close()
		b.Close()
		wantAllClean(t, "after Close", connOf(c))
	})
}

// answerHello takes a client's Hello and answers it.
func (p *rawPeer) answerHello(h hello) {
	p.t.Helper()
	p.wantRequest("B46", 1, 0)
	p.send(1, messageTypeResponse, 0, encode(p.t, &Response{Payload: h.Append(nil)}))
	synctest.Wait()
}

// onStalledClient is onExtendedClient with a peer that reads nothing but by readFrame, or
// once it calls receive, over a connection whose directions hold limit bytes.
func onStalledClient(t *testing.T, limit int, h hello, f func(t *testing.T, c *Client, p *rawPeer), opts ...ClientOpts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(limit)
		p := &rawPeer{t: t, conn: b}
		c := NewClient(a, append([]ClientOpts{WithExtensions()}, opts...)...)
		t.Cleanup(func() { c.Close(); b.Close() })
		p.readFrame()
		go p.send(1, messageTypeResponse, 0, encode(t, &Response{Payload: h.Append(nil)}))
		if ok, err := c.Extended(t.Context()); !ok || err != nil {
			t.Fatalf("B46: extended %v, %v", ok, err)
		}
		f(t, c, p)
		c.Close()
		b.Close()
		wantAllClean(t, "after Close", connOf(c))
	})
}

// onStalledServer is onStalledClient for a server.
func onStalledServer(t *testing.T, limit int, h hello, f func(t *testing.T, ts *testServer, p *rawPeer), opts ...ServerOpt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ts := newTestServer(t, append([]ServerOpt{WithServerExtensions()}, opts...)...)
		a, b := memconn.Pipe(limit)
		ts.conn = ts.add(t, b)
		p := &rawPeer{t: t, conn: a}
		t.Cleanup(func() { a.Close() })
		p.send(1, messageTypeRequest, 0, helloRequest(t, h.Append(nil)))
		p.readFrame()
		f(t, ts, p)
		a.Close()
		wantAllClean(t, "after the test", ts.conn)
	})
}

// readFrame reads one frame, and no byte more.
func (p *rawPeer) readFrame() rawFrame {
	p.t.Helper()
	b := make([]byte, messageHeaderLength)
	if _, err := io.ReadFull(p.conn, b); err != nil {
		p.t.Fatal(err)
	}
	h, _ := parseHeader(b)
	data := make([]byte, h.Length)
	if _, err := io.ReadFull(p.conn, data); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
	return rawFrame{h, data}
}

// wantFrames requires these frames to come next, whose data is not looked at.
func (p *rawPeer) wantFrames(rule string, want ...messageHeader) {
	p.t.Helper()
	for i, h := range want {
		if f := p.next(rule); f.messageHeader != h {
			p.t.Errorf("%s: frame %d is %v, want %v", rule, i, f.messageHeader, h)
		}
	}
	p.wantNothing(rule)
}

// wantAllClean is wantClean, and nothing of the extended mode is left.
func wantAllClean(t *testing.T, rule string, c *conn) {
	t.Helper()
	wantClean(t, rule, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	x := extOf(c)
	if x == nil {
		return
	}
	a := x.parts
	if x.urgent.count != 0 || len(x.waiting) != 0 || x.parked.count != 0 {
		t.Errorf("%s: left are %d control frames, %d frames in parts, %d parked calls", rule, x.urgent.count, len(x.waiting), x.parked.count)
	}
	if len(a.open) != 0 || a.held != 0 || len(a.arrived) != 0 {
		t.Errorf("%s: left are %d messages in part, %d and %d files", rule, len(a.open), a.held, len(a.arrived))
	}
}

// number is the data of files, credit and goodbye frames.
func number(n uint32) []byte { return wire.AppendNumber(nil, n) }

// statusBytes is the data of a cancel frame.
func statusBytes(t testing.TB, code codes.Code, msg string) []byte {
	t.Helper()
	return encode(t, &spb.Status{Code: int32(code), Message: msg})
}

// stepper is a bidirectional stream whose handler does what a test tells it.
type stepper chan func(context.Context, StreamServer) error

func (st stepper) register(s *Server) { s.RegisterService("steps", st.service()) }

func (st stepper) service() *ServiceDesc {
	return &ServiceDesc{Streams: map[string]Stream{
		"Run": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			for {
				if err := (<-st)(ctx, ss); err != nil {
					return nil, endOfStream(err)
				}
			}
		}},
	}}
}

// do has the handler do something, and waits for it.
func (st stepper) do(f func(context.Context, StreamServer) error) {
	st <- f
	synctest.Wait()
}

// take has the handler receive n messages, and requires that they come at once.
func (st stepper) take(t *testing.T, rule string, n int) {
	t.Helper()
	took := make(chan error, n)
	st.do(func(_ context.Context, ss StreamServer) error {
		for range n {
			took <- ss.RecvMsg(new(wrapperspb.BytesValue))
		}
		return nil
	})
	for i := range n {
		select {
		case err := <-took:
			if err != nil {
				t.Errorf("%s: message %d: %v", rule, i, err)
			}
		default:
			t.Fatalf("%s: %d messages came, want %d", rule, i, n)
		}
	}
}

// end has the handler return.
func (st stepper) end() { st.do(func(context.Context, StreamServer) error { return io.EOF }) }

// openSteps opens a stream to the stepper, as a raw peer.
func (p *rawPeer) openSteps(id uint32) {
	p.t.Helper()
	p.send(id, messageTypeRequest, flagRemoteOpen|flagNoData, stepsRequest(p.t))
}

func stepsRequest(t testing.TB) []byte {
	t.Helper()
	return encode(t, &Request{Service: "steps", Method: "Run"})
}

// bytesOfLength is a BytesValue whose encoding has n bytes.
func bytesOfLength(t testing.TB, n int) *wrapperspb.BytesValue {
	t.Helper()
	for overhead := range 8 {
		if m := wrapperspb.Bytes(make([]byte, max(0, n-overhead))); proto.Size(m) == n {
			return m
		}
	}
	t.Fatalf("no BytesValue has %d bytes", n)
	return nil
}
