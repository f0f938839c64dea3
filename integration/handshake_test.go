// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

type handshakeFunc func(context.Context, net.Conn) (net.Conn, any, error)

func (f handshakeFunc) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	return f(ctx, conn)
}

// A maskedConn is what a handshake may make of a connection: it changes every
// byte that passes.
type maskedConn struct {
	net.Conn
	mask byte
}

func (c maskedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.apply(b[:n], b[:n])
	return n, err
}

func (c maskedConn) Write(b []byte) (int, error) {
	masked := make([]byte, len(b))
	c.apply(masked, b)
	return c.Conn.Write(masked)
}

func (c maskedConn) apply(to, from []byte) {
	for i, b := range from {
		to[i] = b ^ c.mask
	}
}

var errPassword = errors.New("wrong password")

// askPassword is a server's handshake: the client says its name and a
// password, both of one byte, and gets a byte that is the mask from then on.
var askPassword = handshakeFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	said := make([]byte, 2)
	if _, err := io.ReadFull(conn, said); err != nil {
		return nil, nil, err
	}
	if said[1] != 'p' {
		return nil, nil, errPassword
	}
	if _, err := conn.Write([]byte{0x55}); err != nil {
		return nil, nil, err
	}
	return maskedConn{conn, 0x55}, string(said[:1]), nil
})

// givePassword is the client's side of it.
func givePassword(said string) handshakeFunc {
	return func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		if _, err := io.WriteString(conn, said); err != nil {
			return nil, nil, err
		}
		mask := make([]byte, 1)
		if _, err := io.ReadFull(conn, mask); err != nil {
			return nil, nil, fmt.Errorf("no mask: %w", err)
		}
		return maskedConn{conn, mask[0]}, nil, nil
	}
}

func TestHandshakeOfBothSides(t *testing.T) {
	peers := make(chan *ttrpc.Peer, 1)
	s := start(t, service{echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		peer, _ := ttrpc.PeerFromContext(ctx)
		peers <- peer
		return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
	}}, ttrpc.WithServerHandshaker(askPassword))
	for _, name := range []string{"a", "b"} {
		c := s.connect(t, ttrpc.WithClientHandshaker(givePassword(name+"p")))
		c.mustEcho(t, "B29")
		peer := <-peers
		if peer.AuthInfo != name {
			t.Errorf("B30: the peer's AuthInfo is %v, want %s", peer.AuthInfo, name)
		}
		if peer.LocalAddr.String() != s.address || peer.Addr == nil {
			t.Errorf("B30: the peer is at %v and its connection here at %v", peer.Addr, peer.LocalAddr)
		}
		c.mustStream(t, "B29")
		if err := c.raw.Cause(); err != nil {
			t.Errorf("B1: the cause of the end of a client that lives is %v", err)
		}
	}
}

func TestRefusedByServer(t *testing.T) {
	log := newLog()
	s := start(t, service{}, ttrpc.WithServerHandshaker(askPassword), ttrpc.WithServerLogger(log))
	clientLog := newLog()
	c := s.connect(t, ttrpc.WithClientHandshaker(givePassword("a?")), ttrpc.WithClientLogger(clientLog))
	if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
		t.Errorf("B1: Echo: %v, want %v", err, ttrpc.ErrClosed)
	}
	if cause := c.raw.Cause(); !errors.Is(cause, io.EOF) || !strings.Contains(cause.Error(), "no mask") {
		t.Errorf("B1: the cause is %v, want the handshaker's error", cause)
	}
	for side, l := range map[string]testLog{errPassword.Error(): log, "no mask": clientLog} {
		if line := l.await(t, "error"); !strings.Contains(line, side) {
			t.Errorf("B29: logged %q, want %q", line, side)
		}
	}
	s.connect(t, ttrpc.WithClientHandshaker(givePassword("ap"))).mustEcho(t, "B29")
}

// TestSilentPeer: who does not shake hands keeps nobody from doing so.
func TestSilentPeer(t *testing.T) {
	s := start(t, service{}, ttrpc.WithServerHandshaker(askPassword), ttrpc.WithServerTimeouts(ttrpc.Timeouts{Handshake: time.Hour}))
	for range 10 {
		silent := s.dial(t)
		defer silent.Close()
	}
	s.connect(t, ttrpc.WithClientHandshaker(givePassword("ap"))).mustEcho(t, "B29")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("B25: Shutdown with silent peers: %v", err)
	}
}

func TestHandshakeTimeoutOfServer(t *testing.T) {
	log := newLog()
	s := start(t, service{}, ttrpc.WithServerHandshaker(askPassword), ttrpc.WithServerLogger(log),
		ttrpc.WithServerTimeouts(ttrpc.Timeouts{Handshake: time.Millisecond}))
	silent := s.dial(t)
	defer silent.Close()
	if n, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("B29: reading on the silent peer's connection: %d, %v, want EOF", n, err)
	}
	log.await(t, "error")
}

func TestHandshakeTimeoutOfClient(t *testing.T) {
	l := listen(t, socketPath(t))
	defer l.Close()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, 2)
	c := newClient(t, conn, ttrpc.WithClientLogger(newLog()), ttrpc.WithOnClose(func() { closed <- struct{}{} }),
		ttrpc.WithClientHandshaker(givePassword("ap")), ttrpc.WithClientTimeouts(ttrpc.Timeouts{Handshake: time.Millisecond}))
	if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
		t.Errorf("B1: Echo: %v, want %v", err, ttrpc.ErrClosed)
	}
	<-closed
	if c.raw.Cause() == nil {
		t.Error("B1: there is no cause")
	}
}

// TestHandshakeContext: a handshaker may mind its context, too.
func TestHandshakeContext(t *testing.T) {
	waits := handshakeFunc(func(ctx context.Context, _ net.Conn) (net.Conn, any, error) {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	})
	s := start(t, service{})
	c := s.connect(t, ttrpc.WithClientLogger(newLog()),
		ttrpc.WithClientHandshaker(waits), ttrpc.WithClientTimeouts(ttrpc.Timeouts{Handshake: time.Millisecond}))
	if err := <-c.echoing(context.Background()); err != ttrpc.ErrClosed {
		t.Errorf("B1: Echo: %v, want %v", err, ttrpc.ErrClosed)
	}
	if cause := c.raw.Cause(); !errors.Is(cause, context.DeadlineExceeded) {
		t.Errorf("B1: the cause is %v, want %v", cause, context.DeadlineExceeded)
	}
}

// TestCallDuringHandshake: the caller's context counts there as well.
func TestCallDuringHandshake(t *testing.T) {
	release := make(chan struct{})
	s := start(t, service{})
	c := s.connect(t, ttrpc.WithClientHandshaker(handshakeFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		<-release
		return conn, nil, nil
	})))
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := <-c.echoing(ctx); err != context.DeadlineExceeded {
		t.Errorf("B18: Echo during the handshake: %v, want %v", err, context.DeadlineExceeded)
	}
	done := c.echoing(context.Background())
	close(release)
	if err := <-done; err != nil {
		t.Errorf("WithClientHandshaker: a call that waited for the handshake: %v", err)
	}
}
