// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// text returns what messages of n bytes carry.
func text(n int) string { return strings.Repeat("x", n) }

// A vtString is a message with vtprotobuf's methods. Unlike fakeVT, which is there
// to tell what ran, it costs what such a message costs.
type vtString struct{ wrapperspb.StringValue }

func newVTString(value string) *vtString {
	m := new(vtString)
	m.Value = value
	return m
}

func (m *vtString) SizeVT() int {
	if m.Value == "" {
		return 0
	}
	return protowire.SizeTag(1) + protowire.SizeBytes(len(m.Value))
}

func (m *vtString) MarshalToSizedBufferVT(b []byte) (int, error) {
	n := m.SizeVT()
	if n > 0 {
		protowire.AppendString(protowire.AppendTag(b[len(b)-n:][:0], 1, protowire.BytesType), m.Value)
	}
	return n, nil
}

func (m *vtString) UnmarshalVT(b []byte) error {
	for len(b) > 0 { // there is no other field
		_, _, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		value, n := protowire.ConsumeString(b[tag:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		m.Value, b = value, b[tag+n:]
	}
	return nil
}

// A textMessage is a message that carries a text.
type textMessage interface {
	proto.Message
	GetValue() string
}

// echo makes one call, with an answer of its own, as generated stubs do.
func echo[M any, P interface {
	*M
	textMessage
}](ctx context.Context, client *Client, service string, req P) error {
	resp := P(new(M))
	if err := client.Call(ctx, service, "Echo", req, resp); err != nil {
		return err
	}
	if len(resp.GetValue()) != len(req.GetValue()) {
		return fmt.Errorf("%d bytes came back as %d", len(req.GetValue()), len(resp.GetValue()))
	}
	return nil
}

// vtService is the service "vt", which echoes messages that vtprotobuf's methods are
// used for if that is asked for.
var vtService = &ServiceDesc{Methods: map[string]Method{
	"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
		m := new(vtString)
		return m, unmarshal(m)
	},
}}

// benchServer returns a server of the services that the tests have, and "vt".
func benchServer(tb testing.TB, opts ...ServerOpt) *Server {
	tb.Helper()
	srv, err := NewServer(append(opts, WithServerExtensions())...)
	if err != nil {
		tb.Fatal(err)
	}
	srv.RegisterService("test", new(testServer).service())
	srv.RegisterService("vt", vtService)
	tb.Cleanup(func() { srv.Close() })
	return srv
}

// benchClient returns a client of srv over a conn of the kind that connPairs calls so, or
// over a unix socket in extended mode.
func benchClient(tb testing.TB, srv *Server, kind string, opts ...ClientOpts) *Client {
	tb.Helper()
	if kind == "extended" {
		kind, opts = "unix", append(opts, WithExtensions())
	}
	near, far := connPairs[kind](tb)
	srv.accept(context.Background(), far)
	client := NewClient(near, opts...)
	tb.Cleanup(func() { client.Close() })
	return client
}

// BenchmarkFraming sends and receives frames. What it allocates is memconn's.
func BenchmarkFraming(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			near, far := connPairs["memory"](b)
			sender, receiver, data := newChannel(near), newChannel(far), pattern(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				passFrame(b, sender, receiver, data)
			}
		})
	}
}

// passFrame sends a frame and receives it.
func passFrame(tb testing.TB, sender, receiver *channel, data []byte) {
	if err := sender.send(1, messageTypeData, 0, data); err != nil {
		tb.Fatal(err)
	}
	f, err := receiver.recvFrame(true)
	if err != nil {
		tb.Fatal(err)
	}
	if len(f.data) != len(data) {
		tb.Fatalf("%d bytes came as %d", len(data), len(f.data))
	}
	f.release()
}

// benchHeads are the heads of requests that differ in what they cost.
var benchHeads = []struct {
	name string
	requestHead
}{
	{"plain", requestHead{service: "pkg.v1.Service", method: "Method"}},
	{"timeout", requestHead{service: "pkg.v1.Service", method: "Method", timeoutNano: int64(time.Minute)}},
	{"metadata", requestHead{service: "pkg.v1.Service", method: "Method", metadata: keyValues(benchMetadata)}},
}

var benchMetadata = MD{"containerd-namespace-ttrpc": {"k8s.io"}, "traceparent": {text(55)}}

// buildRequest returns a sealed request, as Call makes it.
func buildRequest(tb testing.TB, head requestHead, msg any) *frame {
	p, err := plain.measure(msg)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := requestFrame(head, p, 0, messageLengthMax)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// buildResponse returns a sealed response, as the server makes it.
func buildResponse(tb testing.TB, msg any) *frame {
	f, err := plain.resultFrame(1, msg, messageLengthMax)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func BenchmarkRequest(b *testing.B) {
	msg := wrapperspb.String(text(64))
	for _, head := range benchHeads {
		b.Run(head.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buildRequest(b, head.requestHead, msg).release()
			}
		})
		b.Run(head.name+"/decode", func(b *testing.B) {
			data := buildRequest(b, head.requestHead, msg).data[messageHeaderLength:]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parseRequest(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResponse(b *testing.B) {
	msg := wrapperspb.String(text(64))
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buildResponse(b, msg).release()
		}
	})
	b.Run("decode", func(b *testing.B) {
		data := buildResponse(b, msg).data[messageHeaderLength:]
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := parseResponse(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	for _, size := range []int{64, 4 << 10} {
		for _, kind := range []struct {
			name  string
			codec codec
			msg   any
		}{
			{"protobuf", plain, wrapperspb.String(text(size))},
			{"gogo", plain, &fakeGogo{value: []byte(text(size))}},
			{"vtprotobuf", fast, newVTString(text(size))},
		} {
			b.Run(fmt.Sprintf("%s/size=%d", kind.name, size), func(b *testing.B) { benchCodec(b, kind.codec, kind.msg, size) })
		}
	}
}

func benchCodec(b *testing.B, codec codec, msg any, size int) {
	encoded, err := codecEncode(codec, msg)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		buf := make([]byte, 0, len(encoded))
		for b.Loop() {
			p, err := codec.measure(msg)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.append(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := codec.unmarshal(encoded, msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUnary(b *testing.B) {
	for _, kind := range []string{"unix", "extended", "memory"} {
		for _, size := range []int{0, 64, 1 << 10, 64 << 10, 1 << 20} {
			for _, callers := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("%s/size=%d/callers=%d", kind, size, callers), func(b *testing.B) {
					benchUnary(b, context.Background(), kind, size, callers)
				})
			}
		}
	}
}

// BenchmarkUnaryWith makes calls that have more to them.
func BenchmarkUnaryWith(b *testing.B) {
	const size = 64
	b.Run("deadline", func(b *testing.B) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		benchUnary(b, ctx, "unix", size, 1)
	})
	b.Run("metadata", func(b *testing.B) {
		benchUnary(b, WithMetadata(context.Background(), benchMetadata), "unix", size, 1)
	})
	b.Run("vtprotobuf", func(b *testing.B) {
		client, req := benchClient(b, benchServer(b, WithServerVTProto()), "unix", WithVTProto()), newVTString(text(size))
		byCallers(b, size, 1, func() error { return echo(context.Background(), client, "vt", req) })
	})
}

func benchUnary(b *testing.B, ctx context.Context, kind string, size, callers int) {
	client, req := benchClient(b, benchServer(b), kind), wrapperspb.String(text(size))
	byCallers(b, size, callers, func() error { return echo(ctx, client, "test", req) })
}

// byCallers has so many goroutines make calls of size bytes, b.N in all.
func byCallers(b *testing.B, size, callers int, call func() error) {
	if err := call(); err != nil { // the first call on a connection is not what is measured
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkConnect opens a connection, makes the first call on it and closes it.
func BenchmarkConnect(b *testing.B) {
	address := filepath.Join(b.TempDir(), "s")
	l, err := net.Listen("unix", address)
	if err != nil {
		b.Fatal(err)
	}
	srv, served := benchServer(b), make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), l) }()
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("unix", address)
		if err != nil {
			b.Fatal(err)
		}
		client := NewClient(conn)
		if err := echo(context.Background(), client, "test", wrapperspb.String("")); err != nil {
			b.Fatal(err)
		}
		client.Close()
	}
	srv.Close()
	if err := <-served; err != ErrServerClosed {
		b.Error(err)
	}
}

// BenchmarkIdleConnection reports the memory of a connection's two ends, without
// that of the two sockets.
func BenchmarkIdleConnection(b *testing.B) {
	const count = 200
	var bytes, connections float64
	for b.Loop() {
		var near, far [count]net.Conn
		for i := range count {
			near[i], far[i] = unixPair(b)
		}
		var clients [count]*Client
		srv := benchServer(b)
		before := memoryInUse()
		for i := range count {
			srv.accept(context.Background(), far[i])
			clients[i] = NewClient(near[i])
		}
		bytes += memoryInUse() - before
		connections += count
		for _, client := range clients {
			client.Close()
		}
		srv.Close()
	}
	b.ReportMetric(0, "ns/op") // of no interest
	b.ReportMetric(bytes/connections, "B/connection")
}

// memoryInUse counts stacks too: they are most of what waits.
func memoryInUse() float64 {
	runtime.GC()
	runtime.GC() // what pools held is gone only now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
