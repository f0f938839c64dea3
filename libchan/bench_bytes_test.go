// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && linux

package libchan

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/containerd/ttrpc"
)

// unixPair returns the two ends of a unix socket.
func unixPair(b *testing.B) (x, y net.Conn) {
	ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	if x, err = net.Dial("unix", ln.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if y, err = ln.Accept(); err != nil {
		b.Fatal(err)
	}
	return x, y
}

// BenchmarkBytes is the rate of a byte stream beside that of a stream of ttrpc with messages
// of 32 KiB, over a unix socket, one way.
func BenchmarkBytes(b *testing.B) {
	b.Run("stream of ttrpc", func(b *testing.B) {
		x, y := unixPair(b)
		server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		done := make(chan bool)
		server.RegisterService("bench", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"Take": {
			StreamingClient: true, StreamingServer: true,
			Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				for {
					var m ttrpc.RawMessage
					if err := s.RecvMsg(&m); err != nil {
						done <- err == io.EOF
						return nil, nil
					}
				}
			},
		}}})
		go server.ServeConn(context.Background(), y)
		client := ttrpc.NewClient(x, ttrpc.WithExtensions())
		defer client.Close()
		s, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "bench", "Take", &ttrpc.RawMessage{})
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, chunkSize)
		b.SetBytes(chunkSize)
		b.ReportAllocs()
		for b.Loop() {
			if err := s.SendMsg(&ttrpc.RawMessage{Payload: buf}); err != nil {
				b.Fatal(err)
			}
		}
		s.CloseSend()
		if !<-done {
			b.Fatal("the stream has failed")
		}
	})
	for _, name := range []string{"Read", "WriteTo"} {
		b.Run(name, func(b *testing.B) {
			x, y := unixPair(b)
			served := make(chan *Session)
			go func() {
				s, _ := NewServer(y)
				served <- s
			}()
			near, err := NewClient(x)
			if err != nil {
				b.Fatal(err)
			}
			far := <-served
			defer near.Close()
			defer far.Close()
			out, _ := near.OpenChannel(ctx, "")
			_, in, _ := far.Accept(ctx)
			p, q := NewByteStream()
			if err := out.Send(q); err != nil {
				b.Fatal(err)
			}
			if err := in.Receive(&q); err != nil {
				b.Fatal(err)
			}
			done := make(chan error)
			go func() {
				var err error
				if name == "Read" {
					buf := make([]byte, chunkSize)
					for err == nil {
						_, err = q.Read(buf)
					}
				} else if _, err = io.Copy(io.Discard, q); err == nil {
					err = io.EOF
				}
				done <- err
			}()
			buf := make([]byte, chunkSize)
			b.SetBytes(chunkSize)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			p.CloseWrite()
			if err := <-done; err != io.EOF {
				b.Fatal(err)
			}
		})
	}
}
