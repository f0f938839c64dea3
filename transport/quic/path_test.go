// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/quic"
)

// TestPathLost has a path be lost for five seconds, with calls under way, with the defaults of
// everything: nothing fails, and the answers come.
func TestPathLost(t *testing.T) {
	t.Parallel()
	l := listen(t, quic.ListenConfig{})
	path := relay(t, l)
	transporttest.Serve(t, l, ttrpc.WithServerExtensions())
	conn := dial(t, quic.Dialer{}, path.Addr())
	client := transporttest.Connect(t, conn, ttrpc.WithExtensions())
	transporttest.Echo(t, client, "before")
	path.Cut(true)
	called := make(chan error, 10)
	for i := range cap(called) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
			defer cancel()
			_, err := client.Echo(ctx, &streaming.EchoPayload{Seq: uint32(i), Msg: "meanwhile"})
			called <- err
		}()
	}
	time.Sleep(5 * time.Second)
	select {
	case err := <-called:
		t.Fatalf("B114: a call returned while the path was lost: %v", err)
	default:
	}
	path.Cut(false)
	for range cap(called) {
		if err := <-called; err != nil {
			t.Errorf("B114: a call while the path was lost: %v", err)
		}
	}
	transporttest.Echo(t, client, "after")
}

// short is a configuration whose timeouts have one to wait for.
func short(keepAlive time.Duration) *quicgo.Config {
	return &quicgo.Config{MaxIdleTimeout: 400 * time.Millisecond, KeepAlivePeriod: keepAlive}
}

// TestSilence has a path that is lost for good, and an end that has nothing to say. Both ends
// learn it, and so do callers.
func TestSilence(t *testing.T) {
	t.Parallel()
	client, server, path := across(t, short(0))
	waits := make(chan error, 2)
	for _, c := range []*quic.Conn{client, server} {
		go func() {
			_, err := c.Read(make([]byte, 1))
			waits <- err
		}()
	}
	time.Sleep(time.Second) // far beyond the timeout, but both ends ask
	select {
	case err := <-waits:
		t.Fatalf("B114: an idle connection with keep-alive: %v", err)
	default:
	}
	io.WriteString(client, "x")
	<-waits // the server's
	path.Cut(true)
	wantSilent(t, <-waits)
	_, err := server.Read(make([]byte, 1))
	wantSilent(t, err)

	client, _, _ = across(t, short(-1))
	_, err = client.Read(make([]byte, 1))
	wantSilent(t, err)
	_, err = client.Write([]byte("x"))
	wantSilent(t, err)
}

func wantSilent(t *testing.T, err error) {
	t.Helper()
	wantError(t, "B114", err, quic.ErrSilent, "no recent network activity")
	var timeout net.Error
	if !errors.As(err, &timeout) || timeout.Timeout() {
		t.Errorf("B114: it looks like a deadline: %v", err)
	}
}

// TestCallerOfSilence has a ttrpc client tell what ended it.
func TestCallerOfSilence(t *testing.T) {
	t.Parallel()
	l := listen(t, quic.ListenConfig{QUIC: short(0)})
	path := relay(t, l)
	transporttest.Serve(t, l)
	client := ttrpc.NewClient(dial(t, quic.Dialer{QUIC: short(0)}, path.Addr()))
	defer client.Close()
	echo := streaming.NewStreamingClient(client)
	transporttest.Echo(t, echo, "hello")
	path.Cut(true)
	if _, err := echo.Echo(t.Context(), &streaming.EchoPayload{}); !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("B5: a call whose server is silent: %v", err)
	}
	wantSilent(t, client.Cause())
}

// TestMoved has a client whose packets come from other ports in the middle of a stream, as those
// behind a NAT do.
func TestMoved(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	path := relay(t, l)
	transporttest.Serve(t, l)
	client := transporttest.Connect(t, dial(t, quic.Dialer{}, path.Addr()))
	stream, err := client.EchoStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(100) {
		if i%10 == 9 {
			if err := path.Move(); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.Send(&streaming.EchoPayload{Seq: i, Msg: "on the move"}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || got.Seq != i+1 {
			t.Fatalf("B115: message %d: %v, %v", i, got, err)
		}
	}
	transporttest.Echo(t, client, "there")
}

// TestAddressAfterMove holds that a conn tells where its client is now.
func TestAddressAfterMove(t *testing.T) {
	client, server, path := across(t, nil)
	pingPong(t, client, server)
	if err := path.Move(); err != nil {
		t.Fatal(err)
	}
	untilAt(t, client, server, "")
}

// TestOtherPath has a client change to another socket by itself.
func TestOtherPath(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	sockets := make([]*quicgo.Transport, 2)
	for i := range sockets {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		sockets[i] = &quicgo.Transport{Conn: packets}
		defer sockets[i].Close()
	}
	client := dial(t, quic.Dialer{Transport: sockets[0]}, l.Addr())
	server := accept(t, l)
	pingPong(t, client, server)
	path, err := client.QUIC().AddPath(sockets[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := path.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := path.Switch(); err != nil {
		t.Fatal(err)
	}
	untilAt(t, client, server, sockets[1].Conn.LocalAddr().String())
	client.Close()
	server.Close()
	gone(t, client) // before what it runs on
}

// pingPong sends a byte there and back.
func pingPong(t *testing.T, client, server *quic.Conn) {
	t.Helper()
	for _, c := range []*quic.Conn{client, server} {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*quic.Conn{server, client} {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// untilAt waits until a server has its client at another address, or at a certain one.
func untilAt(t *testing.T, client, server *quic.Conn, addr string) {
	t.Helper()
	before := server.RemoteAddr().String()
	for range 2000 {
		pingPong(t, client, server)
		if now := server.RemoteAddr().String(); now == addr || addr == "" && now != before {
			return
		}
	}
	t.Errorf("B115: the client moved, and the server still has it at %v", server.RemoteAddr())
}

// TestWindowsGrow holds that a long path is filled: what may be under way grows when it is read
// as fast as it comes.
func TestWindowsGrow(t *testing.T) {
	var grown atomic.Uint64
	config := &quicgo.Config{AllowConnectionWindowIncrease: func(_ *quicgo.Conn, delta uint64) bool {
		grown.Add(delta)
		return true
	}}
	l := listen(t, quic.ListenConfig{QUIC: config})
	path := relay(t, l)
	path.SetDelay(20 * time.Millisecond)
	client := dial(t, quic.Dialer{}, path.Addr())
	server := accept(t, l)
	read := testkit.WaitFor(func() { _, _ = io.Copy(io.Discard, server) })
	client.SetWriteDeadline(time.Now().Add(testkit.Hang))
	for buf := make([]byte, 64<<10); grown.Load() < 1<<20; {
		if _, err := client.Write(buf); err != nil {
			t.Fatalf("B114: the window has grown by %d bytes: %v", grown.Load(), err)
		}
	}
	client.Close()
	<-read
}

// TestServerRestarts has a server end without a word and come back, with a key that its owner
// kept: clients learn at once that it knows nothing of them.
func TestServerRestarts(t *testing.T) {
	key := quicgo.StatelessResetKey{1, 2, 3}
	var at net.Addr = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	start := func() (*quic.Listener, func()) {
		packets, err := net.ListenPacket("udp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		at = packets.LocalAddr()
		shared := &quicgo.Transport{Conn: packets, StatelessResetKey: &key}
		l, err := (&quic.ListenConfig{TLS: serverTLS}).ListenTransport(shared)
		if err != nil {
			t.Fatal(err)
		}
		return l, func() {
			shared.Close()
			packets.Close()
			l.Close()
		}
	}
	l, end := start()
	client := dial(t, quic.Dialer{}, at)
	accept(t, l)
	end()
	_, end = start()
	defer end()
	go client.Write(make([]byte, 5000))
	_, err := client.Read(make([]byte, 1))
	wantError(t, "B114", err, quic.ErrRestarted, "")
}

// TestSilentClients has some that shake hands and vanish, and some that open more than they
// may. They hold nothing for ever.
func TestSilentClients(t *testing.T) {
	l := listen(t, quic.ListenConfig{QUIC: short(0)})
	own := clientTLS.Clone()
	own.ServerName, own.NextProtos = "localhost", []string{"ttrpc"}
	path := relay(t, l)
	connection, err := quicgo.DialAddr(t.Context(), path.Addr().String(), own, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.CloseWithError(0, "")
	server := accept(t, l)
	for range 2 {
		s, err := connection.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("x"))
	}
	if _, err := connection.OpenUniStream(); err == nil {
		t.Error("B113: a client may open a third stream")
	}
	if _, err := connection.OpenStream(); err == nil {
		t.Error("B113: a client may open a stream of two directions")
	}
	path.Cut(true)
	gone(t, server)
}
