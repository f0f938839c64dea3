// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/lossyudp"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/quic"
)

// A road is how a benchmark's conns are made.
type road struct {
	name string
	pair func(b *testing.B) (client, server net.Conn)
}

// roads are TCP with TLS, and QUIC, straight and over paths of the relay's. What the relay costs
// itself is in the row without loss.
var roads = []road{
	{"TLS", overTLS},
	{"QUIC", func(b *testing.B) (client, server net.Conn) { return overQUIC(b, nil) }},
	{"relay", func(b *testing.B) (client, server net.Conn) {
		return overQUIC(b, func(*lossyudp.Relay) {})
	}},
	{"relay, 1% lost", func(b *testing.B) (client, server net.Conn) {
		return overQUIC(b, func(r *lossyudp.Relay) { r.SetLoss(0.01) })
	}},
	{"relay, 50 ms", func(b *testing.B) (client, server net.Conn) {
		return overQUIC(b, func(r *lossyudp.Relay) { r.SetDelay(25 * time.Millisecond) })
	}},
}

func overTLS(b *testing.B) (client, server net.Conn) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	shaken := make(chan error, 1)
	go func() {
		var err error
		if server, err = l.Accept(); err == nil {
			err = server.(*tls.Conn).Handshake()
		}
		shaken <- err
	}()
	client, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: clientTLS.RootCAs, MinVersion: tls.VersionTLS13})
	if err != nil {
		b.Fatal(err)
	}
	if err := <-shaken; err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// overQUIC makes the path a relay's, if it is told how that is to be.
func overQUIC(b *testing.B, bad func(*lossyudp.Relay)) (client, server net.Conn) {
	l := listen(b, quic.ListenConfig{})
	to := l.Addr()
	if bad != nil {
		path := relay(b, l)
		bad(path)
		to = path.Addr()
	}
	client = dial(b, quic.Dialer{}, to)
	return client, accept(b, l)
}

// BenchmarkThroughput writes 32 KiB at a time.
func BenchmarkThroughput(b *testing.B) {
	for _, r := range roads {
		b.Run(r.name, func(b *testing.B) {
			client, server := r.pair(b)
			const size = 32 << 10
			b.SetBytes(size)
			go io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{server}, make([]byte, 64<<10))
			buf := make([]byte, size)
			for b.Loop() {
				if _, err := client.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRoundTrip sends 64 bytes there and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, r := range roads {
		b.Run(r.name, func(b *testing.B) {
			client, server := r.pair(b)
			go io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server})
			buf := make([]byte, 64)
			for b.Loop() {
				if _, err := client.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCall is a ttrpc call, by one caller and by 32 at once.
func BenchmarkCall(b *testing.B) {
	for _, r := range roads[:4] {
		for _, callers := range []int{1, 32} {
			b.Run(fmt.Sprint(r.name, "/", callers), func(b *testing.B) {
				client, server := r.pair(b)
				l := testkit.NewListener()
				transporttest.Serve(b, l)
				l.Hand(server)
				echo := transporttest.Connect(b, client)
				b.SetParallelism(callers)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := echo.Echo(context.Background(), &streaming.EchoPayload{Msg: "hello"}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
