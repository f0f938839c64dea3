// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// streamLead is how many messages a stream's client is ahead of its answers at most.
const streamLead = 32

// benchStreams are streams with messages like msg. Who sends an upload is told how
// many messages have come, who wants a download tells how many are to come.
func benchStreams(msg *wrapperspb.StringValue) *ServiceDesc {
	return &ServiceDesc{Streams: map[string]Stream{
		"Upload": {StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
			count := new(wrapperspb.Int64Value)
			for ; ; count.Value++ {
				if err := ss.RecvMsg(new(wrapperspb.StringValue)); err != nil {
					return count, endOfStream(err)
				}
			}
		}},
		"Download": {StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
			var count wrapperspb.Int64Value
			if err := ss.RecvMsg(&count); err != nil {
				return nil, err
			}
			for range count.Value {
				if err := ss.SendMsg(msg); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
		"Both": {StreamingClient: true, StreamingServer: true, Handler: echoStream},
	}}
}

func BenchmarkStream(b *testing.B) {
	for _, bench := range []struct {
		name, method string
		run          func(s ClientStream, msg *wrapperspb.StringValue, n int) error
	}{
		{"upload", "Upload", benchUpload},
		{"download", "Download", benchDownload},
		{"both", "Both", benchBoth},
		{"turns", "Both", benchTurns},
	} {
		for _, size := range []int{64, 16 << 10} {
			for _, kind := range []string{"unix", "extended"} {
				b.Run(fmt.Sprintf("%s/%s/size=%d", kind, bench.name, size), func(b *testing.B) {
					benchStream(b, kind, bench.method, size, bench.run)
				})
			}
		}
	}
}

// BenchmarkConnKind compares kinds of conns: kernel sockets, byte streams, and what
// such cost when they do not say that they are.
func BenchmarkConnKind(b *testing.B) {
	for _, kind := range []string{"unix", "tls", "tls, silent", "stream", "memory"} {
		for _, size := range []int{64, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/call/size=%d", kind, size), func(b *testing.B) {
				benchUnary(b, context.Background(), kind, size, 1)
			})
		}
		b.Run(kind+"/call/callers=16", func(b *testing.B) {
			benchUnary(b, context.Background(), kind, 64, 16)
		})
		for _, size := range []int{64, 16 << 10} {
			b.Run(fmt.Sprintf("%s/download/size=%d", kind, size), func(b *testing.B) {
				benchStream(b, kind, "Download", size, benchDownload)
			})
		}
	}
}

// benchStream runs a stream of b.N messages.
func benchStream(b *testing.B, kind, method string, size int, run func(ClientStream, *wrapperspb.StringValue, int) error) {
	msg, srv := wrapperspb.String(text(size)), benchServer(b)
	desc := benchStreams(msg)
	srv.RegisterService("bench", desc)
	client := benchClient(b, srv, kind)
	var req any // of a download only
	stream := desc.Streams[method]
	if !stream.StreamingClient {
		req = wrapperspb.Int64(int64(b.N))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	s, err := client.NewStream(context.Background(), &StreamDesc{stream.StreamingClient, stream.StreamingServer}, "bench", method, req)
	if err != nil {
		b.Fatal(err)
	}
	if err := run(s, msg, b.N); err != nil {
		b.Fatal(err)
	}
}

func benchUpload(s ClientStream, msg *wrapperspb.StringValue, n int) error {
	for range n {
		if err := s.SendMsg(msg); err != nil {
			return err
		}
	}
	var count wrapperspb.Int64Value
	if err := errors.Join(s.CloseSend(), s.RecvMsg(&count)); err != nil {
		return err
	}
	if int(count.Value) != n {
		return fmt.Errorf("of %d messages came %d", n, count.Value)
	}
	return nil
}

func benchDownload(s ClientStream, msg *wrapperspb.StringValue, n int) error {
	for range n {
		if err := receiveLike(s, msg); err != nil {
			return err
		}
	}
	return receiveEnd(s)
}

func benchBoth(s ClientStream, msg *wrapperspb.StringValue, n int) error {
	free := make(chan struct{}, streamLead)
	for range streamLead {
		free <- struct{}{}
	}
	sent := make(chan error, 1)
	go func() {
		for range n {
			if _, ok := <-free; !ok {
				break
			}
			if err := s.SendMsg(msg); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	err := func() error {
		defer close(free)
		for range n {
			if err := receiveLike(s, msg); err != nil {
				return err
			}
			free <- struct{}{}
		}
		return receiveEnd(s)
	}()
	return errors.Join(err, <-sent)
}

func benchTurns(s ClientStream, msg *wrapperspb.StringValue, n int) error {
	for range n {
		if err := s.SendMsg(msg); err != nil {
			return err
		}
		if err := receiveLike(s, msg); err != nil {
			return err
		}
	}
	return errors.Join(s.CloseSend(), receiveEnd(s))
}

// receiveLike receives a message as long as msg into one of its own, as generated
// stubs do.
func receiveLike(s ClientStream, msg *wrapperspb.StringValue) error {
	m := new(wrapperspb.StringValue)
	if err := s.RecvMsg(m); err != nil {
		return err
	}
	if len(m.Value) != len(msg.Value) {
		return fmt.Errorf("%d bytes came back as %d", len(msg.Value), len(m.Value))
	}
	return nil
}

func receiveEnd(s ClientStream) error {
	if err := s.RecvMsg(new(wrapperspb.StringValue)); err != io.EOF {
		return fmt.Errorf("the end is %v", err)
	}
	return nil
}
