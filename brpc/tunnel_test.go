// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A pair is the two ends of a tunnel and the connection below.
type pair struct {
	dialed, accepted net.Conn
	client           *ttrpc.Client
	server           *ttrpc.Server
}

// newPair opens a tunnel over two conns.
func newPair(t testing.TB, here, there net.Conn) *pair {
	t.Helper()
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Window: window}}))
	if err != nil {
		t.Fatal(err)
	}
	remote := &addr{peer: &Peer{}}
	taken := make(chan *tunnel, 1)
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		openMethod: opened(func(context.Context) (*addr, error) { return remote, nil }, func(_ context.Context, t *tunnel) error {
			taken <- t
			return nil
		}),
	}})
	go server.ServeConn(context.Background(), there)
	client := ttrpc.NewClient(here, ttrpc.WithExtensions(), ttrpc.WithClientLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Window: window}}))
	s, cancel, err := openStream(context.Background(), client)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{dialed(s, cancel, remote), <-taken, client, server}
}

func (p *pair) close() {
	p.dialed.Close()
	p.accepted.Close()
	p.client.Close()
	p.server.Close()
}

// ends runs f in a bubble with the ends of a tunnel, either way round.
func ends(t *testing.T, f func(t *testing.T, p *pair, a, b net.Conn)) {
	for name, swap := range map[string]bool{"dialed": false, "accepted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := memconn.StreamPipe(64 << 10)
				p := newPair(t, here, there)
				defer p.close()
				a, b := p.dialed, p.accepted
				if swap {
					a, b = b, a
				}
				f(t, p, a, b)
			})
		})
	}
}

// TestConn holds a tunnel to what Go's own conns do.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		here, there := testkit.SocketPair(t)
		p := newPair(t, here, there)
		return p.dialed, p.accepted, p.close, nil
	})
}

func TestHalfClose(t *testing.T) {
	ends(t, func(t *testing.T, _ *pair, a, b net.Conn) {
		if _, err := a.Write([]byte("the last")); err != nil {
			t.Fatal(err)
		}
		if err := a.(*tunnel).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || string(got) != "the last" {
			t.Errorf("B141: %q has come, and %v", got, err)
		}
		if _, err := a.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("B141: after CloseWrite Write returns %v", err)
		}
		big := bytes.Repeat([]byte("answer"), 1<<16)
		go func() {
			b.Write(big)
			b.Close()
		}()
		if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, big) {
			t.Errorf("B141: %d bytes have come the other way, and %v", len(got), err)
		}
	})
}

// TestCloseDelivers has Close lose nothing of what was written, and the other end learn of it.
func TestCloseDelivers(t *testing.T) {
	ends(t, func(t *testing.T, _ *pair, a, b net.Conn) {
		sent := bytes.Repeat([]byte("0123456789"), 1<<14)
		go func() {
			a.Write(sent)
			a.Close()
		}()
		var got bytes.Buffer
		if _, err := io.Copy(&got, b); err != nil || !bytes.Equal(got.Bytes(), sent) {
			t.Errorf("B141: %d bytes have come of %d, and %v", got.Len(), len(sent), err)
		}
		if n, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("B141: after Close Read returns %d, %v", n, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("B141: after Close Write returns %v", err)
		}
		if err := a.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("B141: Close again returns %v", err)
		}
		b.Close()
	})
}

// TestCloseFrees has a tunnel that was closed at one end take nothing on the connection, even
// if the other end does not close its own for some time.
func TestCloseFrees(t *testing.T) {
	ends(t, func(t *testing.T, p *pair, a, b net.Conn) {
		a.Close()
		time.Sleep(linger + time.Second)
		synctest.Wait()
		if n := len(p.client.Snapshot().Streams); n > 0 {
			t.Errorf("B141: %d streams are left", n)
		}
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("B141: Write to nobody succeeds")
		}
	})
}

// TestDeadlines has reads and writes wait no longer than they may, and the tunnel be good
// after that.
func TestDeadlines(t *testing.T) {
	ends(t, func(t *testing.T, _ *pair, a, b net.Conn) {
		began := time.Now()
		a.SetReadDeadline(began.Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("B141: after %v Read returns %v", time.Since(began), err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		sent := 0
		var err error
		for err == nil { // nobody reads
			var n int
			n, err = a.Write(make([]byte, 100<<10))
			sent += n
		}
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("B141: Write returns %v", err)
		}
		a.SetDeadline(time.Time{})
		got := make(chan int)
		go func() {
			n, _ := io.Copy(io.Discard, b)
			got <- int(n)
		}()
		if n, err := a.Write([]byte("more")); err != nil {
			t.Errorf("B141: after a deadline Write returns %d, %v", n, err)
		}
		a.Close()
		if n := <-got; n != sent+len("more") {
			t.Errorf("B141: %d bytes have come of %d", n, sent+len("more"))
		}
	})
}

// TestLost has a tunnel end with its connection.
func TestLost(t *testing.T) {
	ends(t, func(t *testing.T, p *pair, a, b net.Conn) {
		go func() {
			time.Sleep(time.Second)
			p.client.Close()
		}()
		for _, c := range []net.Conn{a, b} {
			if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("B141: Read returns %d, %v", n, err)
			}
			synctest.Wait()
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("B141: Write succeeds")
			}
		}
	})
}

// BenchmarkTunnel copies through a tunnel, and tells what it allocates.
func BenchmarkTunnel(b *testing.B) {
	here, there := testkit.SocketPair(b)
	p := newPair(b, here, there)
	defer p.close()
	chunk := make([]byte, 32<<10)
	go func() {
		for {
			if _, err := p.dialed.Write(chunk); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, len(chunk))
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.ReadFull(p.accepted, buf); err != nil {
			b.Fatal(err)
		}
	}
}
