// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A traceLog writes down what a Trace is told. Frames are counted apart.
type traceLog struct {
	mu     sync.Mutex
	lines  []string
	open   int // begun and not ended
	frames map[string]int
	sizes  map[bool]int // bytes of frames, headers included, by whether they were sent
}

func (l *traceLog) add(open int, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open += open
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *traceLog) trace() *Trace {
	l.frames, l.sizes = map[string]int{}, map[bool]int{}
	return &Trace{
		Conn: func(c ConnInfo) func(error) {
			l.add(1, "conn server=%v", c.Server)
			return func(cause error) { l.add(-1, "conn ends: %v", cause) }
		},
		Call: func(c CallInfo) func(error) {
			l.add(1, "%d %s served=%v", c.StreamID, c.FullMethod, c.Served)
			if c.Known != (c.Served && !strings.HasSuffix(c.FullMethod, "/None")) {
				l.add(0, "known=%v", c.Known)
			}
			return func(err error) { l.add(-1, "%d ends: %v", c.StreamID, status.Code(err)) }
		},
		Frame: func(f FrameInfo) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if f.Data != nil && len(f.Data) != f.Length {
				l.lines = append(l.lines, fmt.Sprintf("a frame of %d bytes with %d", f.Length, len(f.Data)))
			}
			l.frames[fmt.Sprintf("sent=%v %v", f.Sent, messageType(f.Type))]++
			l.sizes[f.Sent] += messageHeaderLength + f.Length
		},
	}
}

// want requires what was told since the last time.
func (l *traceLog) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, lines) {
		t.Errorf("B55: told %q, want %q", l.lines, lines)
	}
	l.lines = nil
}

// TestTraces has two traces told of a connection and its calls, which lack different
// functions, and holds what kinds of calls they are told.
func TestTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log traceLog
		one := &Trace{
			Call: func(c CallInfo) func(error) {
				log.add(1, "one: %s unary=%v %v %v known=%v", c.FullMethod, c.Unary, c.StreamingClient, c.StreamingServer, c.Known)
				return func(err error) { log.add(-1, "one: %v", status.Code(err)) }
			},
			Frame: func(FrameInfo) { log.add(1, "one: frame") },
		}
		two := &Trace{
			Conn: func(ConnInfo) func(error) {
				log.add(1, "two: conn")
				return func(error) { log.add(-1, "two: conn") }
			},
			Call: func(c CallInfo) func(error) {
				log.add(0, "two: %s", c.FullMethod)
				return nil
			},
			Frame: func(FrameInfo) { log.add(-1, "two: frame") },
		}
		s, err := NewServer(WithServerTrace(one), WithServerTrace(two))
		if err != nil {
			t.Fatal(err)
		}
		s.RegisterService("test", extendedService())
		a, b := memconn.Pipe(0)
		s.accept(t.Context(), b)
		c := NewClient(a, WithClientTrace(two), WithClientTrace(one))
		log.want(t, "two: conn", "two: conn")
		if err := c.Call(t.Context(), "test", "Echo", wrapperspb.String("hi"), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		slices.Sort(log.lines) // of both ends, whose order nobody promises
		log.want(t, "one: /test/Echo unary=true false false known=false", "one: /test/Echo unary=true false false known=true",
			"one: OK", "one: OK", "one: frame", "one: frame", "one: frame", "one: frame",
			"two: /test/Echo", "two: /test/Echo", "two: frame", "two: frame", "two: frame", "two: frame")
		for method, desc := range map[string]*StreamDesc{"Echoes": {true, true}, "None": {true, false}} {
			st, err := c.NewStream(t.Context(), desc, "test", method, nil)
			if err != nil {
				t.Fatal(err)
			}
			st.CloseSend()
			st.RecvMsg(new(wrapperspb.BytesValue))
			synctest.Wait()
			log.mu.Lock()
			for _, known := range []bool{false, method != "None"} {
				want := fmt.Sprintf("one: /test/%s unary=false %v %v known=%v", method, desc.StreamingClient, desc.StreamingServer, known)
				if !slices.Contains(log.lines, want) {
					t.Errorf("B55: told %q, want %q", log.lines, want)
				}
			}
			log.lines = nil
			log.mu.Unlock()
		}
		c.Close()
		s.Close()
		synctest.Wait()
		if log.open != 0 {
			t.Errorf("B55: %d beginnings without an end: %q", log.open, log.lines)
		}
	})
}

// onTraced runs f in a bubble with both ends of a connection that are traced.
func onTraced(t *testing.T, f func(t *testing.T, c *Client, s *Server, client, server *traceLog), opts ...ClientOpts) {
	synctest.Test(t, func(t *testing.T) {
		var client, server traceLog
		s, err := NewServer(WithServerExtensions(), WithServerTrace(server.trace()))
		if err != nil {
			t.Fatal(err)
		}
		s.RegisterService("test", extendedService())
		a, b := memconn.Pipe(0)
		s.accept(context.Background(), b)
		c := NewClient(a, append([]ClientOpts{WithClientTrace(client.trace())}, opts...)...)
		f(t, c, s, &client, &server)
		c.Close()
		s.Close()
		synctest.Wait()
		for name, l := range map[string]*traceLog{"client": &client, "server": &server} {
			if l.open != 0 {
				t.Errorf("B55: %s: %d beginnings without an end: %q", name, l.open, l.lines)
			}
		}
		if client.sizes[true] != server.sizes[false] || client.sizes[false] != server.sizes[true] {
			t.Errorf("B55: bytes: client %v, server %v", client.sizes, server.sizes)
		}
	})
}

func TestTraceUnary(t *testing.T) {
	onTraced(t, func(t *testing.T, c *Client, s *Server, client, server *traceLog) {
		client.want(t, "conn server=false")
		server.want(t, "conn server=true")
		ctx := context.Background()
		if err := c.Call(ctx, "test", "Echo", wrapperspb.String("hi"), new(wrapperspb.StringValue)); err != nil {
			t.Fatal(err)
		}
		client.want(t, "1 /test/Echo served=false", "1 ends: OK")
		server.want(t, "1 /test/Echo served=true", "1 ends: OK")
		if err := c.Call(ctx, "test", "None", wrapperspb.String("hi"), new(wrapperspb.StringValue)); err == nil {
			t.Fatal("no error")
		}
		client.want(t, "3 /test/None served=false", "3 ends: Unimplemented")
		server.want(t, "3 /test/None served=true", "3 ends: Unimplemented")
		ctx, cancel := context.WithCancel(ctx)
		go func() { synctest.Wait(); cancel() }()
		c.Call(ctx, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
		client.want(t, "5 /test/Block served=false", "5 ends: Canceled")
		server.want(t, "5 /test/Block served=true")
		c.Close()
		client.want(t, "conn ends: ttrpc: closed")
		server.want(t, "conn ends: EOF", "5 ends: Unavailable")
	})
}

func TestTraceStreams(t *testing.T) {
	onTraced(t, func(t *testing.T, c *Client, s *Server, client, server *traceLog) {
		client.want(t, "conn server=false", "1 /ttrpc.extensions.v1.Connection/Hello served=false", "1 ends: OK")
		server.want(t, "conn server=true")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		echoes := func() ClientStream {
			st, err := c.NewStream(ctx, &StreamDesc{true, true}, "test", "Echoes", nil)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		st := echoes()
		st.CloseSend()
		if err := st.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
			t.Fatal(err)
		}
		client.want(t, "3 /test/Echoes served=false", "3 ends: OK")
		server.want(t, "3 /test/Echoes served=true", "3 ends: OK")
		if _, err := c.NewStream(ctx, &StreamDesc{true, true}, "test", "None", nil); err != nil {
			t.Fatal(err)
		}
		client.want(t, "5 /test/None served=false", "5 ends: Unimplemented")
		server.want(t, "5 /test/None served=true", "5 ends: Unimplemented")
		echoes()
		synctest.Wait() // else nothing is sent
		cancel()
		client.want(t, "7 /test/Echoes served=false", "7 ends: Canceled")
		server.want(t, "7 /test/Echoes served=true", "7 ends: Canceled")
		if n := client.frames["sent=true cancel"]; n != 1 || server.frames["sent=false cancel"] != 1 {
			t.Errorf("B55: %v and %v", client.frames, server.frames)
		}
	}, WithExtensions())
}

// TestTraceParts holds that each part is told, with its bytes.
func TestTraceParts(t *testing.T) {
	onTraced(t, func(t *testing.T, c *Client, s *Server, client, server *traceLog) {
		m := wrapperspb.String(strings.Repeat("x", 3*partSize))
		if err := c.Call(context.Background(), "test", "Echo", m, m); err != nil {
			t.Fatal(err)
		}
		for _, where := range []string{"sent=true part", "sent=false part"} {
			if client.frames[where] != 3 || server.frames[where] != 3 {
				t.Errorf("B55: %s: %v and %v", where, client.frames, server.frames)
			}
		}
	}, WithExtensions())
}

// TestTraceDropped holds that frames of which nothing is kept are told, too: parts of a
// message over the limit, and a reset.
func TestTraceDropped(t *testing.T) {
	var server traceLog
	onExtendedServer(t, peerHello(), func(t *testing.T, _ *testServer, p *rawPeer) {
		p.send(3, messageTypePart, 0, make([]byte, 2000))
		p.send(3, messageTypePart, flagReset, nil)
		p.send(5, messageTypeRequest, 0, make([]byte, 2000))
		p.next("B7")
		want := map[string]int{"sent=false request": 2, "sent=false part": 2, "sent=true response": 2}
		if !maps.Equal(server.frames, want) {
			t.Errorf("B55: told of %v, want %v", server.frames, want)
		}
	}, WithServerTrace(server.trace()), WithServerLimits(Limits{MessageSize: 1000}))
}

func TestSnapshot(t *testing.T) {
	onTraced(t, func(t *testing.T, c *Client, s *Server, _, _ *traceLog) {
		ctx := context.Background()
		go c.Call(ctx, "test", "Block", wrapperspb.String(""), new(wrapperspb.StringValue))
		synctest.Wait()
		st, err := c.NewStream(ctx, &StreamDesc{false, true}, "test", "Flood", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const cost = 1003 + messageCharge
		const share = 6 << 10    // 24 MiB by 4,096
		const window = 512 << 10 // as nothing else is in use
		n := window / cost
		left := window - n*cost
		snap := c.Snapshot()
		if snap.State != "active" || snap.Server || !snap.Extended || snap.Files || snap.Received != n*cost || snap.MaxMessage != 4<<20 || len(snap.Streams) != 2 {
			t.Fatalf("B55: %+v", snap)
		}
		want := []StreamSnapshot{
			{ID: 3, FullMethod: "/test/Block", Unary: true, State: "unary"},
			{ID: 5, FullMethod: "/test/Flood", State: "open", Messages: n, Bytes: n * cost, SendCredit: share, RecvCredit: left, Window: window, Held: n * cost},
		}
		for i := range snap.Streams { // what TestSnapshotStreams looks at
			snap.Streams[i] = withoutVolumes(snap.Streams[i])
		}
		if !slices.Equal(snap.Streams, want) {
			t.Errorf("B55: %+v, want %+v", snap.Streams, want)
		}
		served := s.Snapshot()
		want[0].Served, want[1].Served = true, true
		want[1].State, want[1].Messages, want[1].Bytes = "remoteClosed", 1, messageCharge // the request's
		request := encode(t, &Request{Service: "test", Method: "Flood"})
		want[1].SendCredit, want[1].RecvCredit, want[1].Window, want[1].Held = left, 0, 0, messageCharge+len(request)
		for i := range served[0].Streams {
			served[0].Streams[i] = withoutVolumes(served[0].Streams[i])
		}
		if len(served) != 1 || !served[0].Server || served[0].SendCredit != snap.RecvCredit || !slices.Equal(served[0].Streams, want) {
			t.Errorf("B55: %+v, want %+v", served, want)
		}
		c.Close()
		if snap := c.Snapshot(); snap.State != "closed" || snap.Cause != ErrClosed.Error() {
			t.Errorf("B55: %+v", snap)
		}
		if err := st.RecvMsg(new(wrapperspb.BytesValue)); !errors.Is(err, ErrClosed) && err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if left := s.Snapshot(); len(left) != 0 {
			t.Errorf("B55: %+v", left)
		}
		if zero := new(Client).Snapshot(); zero.State != "closed" {
			t.Errorf("B55: %+v", zero)
		}
	}, WithExtensions())
}

// TestTraceRefused holds that a trace is told of connections that do not begin, at either end,
// and of none twice.
func TestTraceRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		trace := func(name string) *Trace {
			return &Trace{
				Conn: func(info ConnInfo) func(error) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, name+" begins")
					return nil
				},
				Refused: func(info ConnInfo, err error) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, fmt.Sprintf("%s refused server=%v %v", name, info.Server, err))
					if info.ID == 0 || info.Peer == nil || info.Peer.AuthInfo != nil {
						t.Errorf("B55: refused is %+v", info)
					}
				},
			}
		}
		want := func(lines ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, lines) {
				t.Errorf("B55: told %q, want %q", told, lines)
			}
			told = nil
		}
		s, err := NewServer(WithServerTrace(trace("one")), WithServerTrace(new(Trace)), WithServerTrace(trace("two")),
			WithServerHandshaker(RequireRoot()), WithServerLogger(new(countingLogger)))
		if err != nil {
			t.Fatal(err)
		}
		near, far := memconn.Pipe(0)
		s.accept(t.Context(), far)
		const why = "ttrpc: handshake: ttrpc: peer credentials: only unix sockets have them, and this is a *memconn.Conn (RequireCID is for vsock, certificates are for TCP)"
		want("one refused server=true "+why, "two refused server=true "+why)
		c := NewClient(near, WithClientTrace(trace("client")), WithClientHandshaker(RequireRoot()), WithClientLogger(new(countingLogger)))
		want("client refused server=false " + why)
		c.Close()

		s, err = NewServer(WithServerTrace(trace("server")), WithServerLimits(Limits{Connections: 1}), WithServerLogger(new(countingLogger)),
			WithServerHandshaker(byteHandshaker{}))
		if err != nil {
			t.Fatal(err)
		}
		connect := func() *memconn.Conn {
			near, far := memconn.Pipe(0)
			s.accept(t.Context(), far)
			return near
		}
		defer connect().Close()
		second := connect() // and the first is cut off: only one may shake hands
		defer second.Close()
		want("server refused server=true " + errCrowdedOut.Error())
		second.Write([]byte{1})
		want("server begins")
		third := connect()
		defer third.Close()
		third.Write([]byte{1})
		want("server refused server=true " + errTooManyConnections.Error())
		s.Close()
	})
}
