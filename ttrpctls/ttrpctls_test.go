// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/ttrpctls"
)

// onEach runs a test over every transport.
func onEach(t *testing.T, test func(*testing.T, transport)) {
	for _, tr := range []transport{unix, pipe} {
		t.Run(tr.name, func(t *testing.T) { test(t, tr) })
	}
}

// secured returns a client whose connection both sides have checked.
func secured(t *testing.T, tr transport, opts ...ttrpc.ServerOpt) streaming.StreamingClient {
	t.Helper()
	ca := newAuthority(t)
	l := serve(t, tr, append(opts, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(ca.serverConfig(t))))...)
	return streaming.NewStreamingClient(connect(t, tr, l, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(ca.clientConfig(t)))))
}

func TestMutualTLS(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		peers := make(chan *ttrpc.Peer, 1)
		client := secured(t, tr, ttrpc.WithUnaryServerInterceptor(
			func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
				peer, _ := ttrpc.PeerFromContext(ctx)
				peers <- peer
				return method(ctx, unmarshal)
			}))
		got, err := client.Echo(context.Background(), &streaming.EchoPayload{Seq: 1, Msg: "secret"})
		if err != nil || got.Seq != 2 || got.Msg != "secret" {
			t.Fatalf("Echo: %v, %v", got, err)
		}
		state, ok := (<-peers).AuthInfo.(tls.ConnectionState)
		if !ok || !state.HandshakeComplete {
			t.Fatal("B30: the peer's AuthInfo is not the tls.ConnectionState")
		}
		if name := state.PeerCertificates[0].Subject.CommonName; name != "client.test" {
			t.Errorf("B30: the peer is %q, want client.test", name)
		}
	})
}

func TestLargeMessage(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		client := secured(t, tr)
		const envelope = 100
		msg := strings.Repeat("x", 4<<20-envelope)
		got, err := client.Echo(context.Background(), &streaming.EchoPayload{Msg: msg})
		if err != nil || got.Msg != msg {
			t.Errorf("B35: Echo of %d bytes: %d bytes, %v", len(msg), len(got.GetMsg()), err)
		}
	})
}

// TestStream sends without waiting for answers: neither side's writing may
// keep it from reading.
func TestStream(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		client := secured(t, tr)
		stream, err := client.EchoStream(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		const messages = 300
		msg := strings.Repeat("x", 20_000)
		sent := make(chan error, 1)
		go func() {
			for i := uint32(0); i < messages; i++ {
				if err := stream.Send(&streaming.EchoPayload{Seq: i, Msg: msg}); err != nil {
					sent <- err
					return
				}
			}
			sent <- stream.CloseSend()
		}()
		for i := uint32(0); i < messages; i++ {
			if got, err := stream.Recv(); err != nil || got.Seq != i+1 || got.Msg != msg {
				t.Fatalf("B20: message %d: seq %d, %v", i, got.GetSeq(), err)
			}
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("B21: after the last message: %v, want EOF", err)
		}
		if err := <-sent; err != nil {
			t.Errorf("B20: sending: %v", err)
		}
	})
}

// The tests of refusals are not for net.Pipe, which has no buffer: the one that
// is refused may still be writing when the alert is sent to it, and then both
// wait until the handshake's time is over.

func TestClientRefusesServer(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	l := serve(t, unix, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(other.serverConfig(t))))
	client := connect(t, unix, l, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(ca.clientConfig(t))))
	wantClosed(t, client)
	var unknown x509.UnknownAuthorityError
	if cause := client.Cause(); !errors.As(cause, &unknown) || !strings.Contains(cause.Error(), "ttrpctls: the client's handshake failed") {
		t.Errorf("B1: the cause is %v, want an x509.UnknownAuthorityError of the client's handshake", cause)
	}
}

func TestServerRefusesClient(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	config := other.clientConfig(t)
	config.RootCAs = ca.pool()
	l := serve(t, unix, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(ca.serverConfig(t))))
	client := connect(t, unix, l, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(config)))
	wantClosed(t, client)
	// The alert comes with the first record that the client reads.
	if cause := client.Cause(); !strings.Contains(cause.Error(), "remote error: tls:") {
		t.Errorf("B1: the cause is %v, want the server's alert", cause)
	}
}

func TestNilConfig(t *testing.T) {
	for _, tc := range []struct {
		name       string
		handshaker ttrpc.Handshaker
		want       string
	}{
		{"server", ttrpctls.ServerHandshaker(nil), "ttrpctls: the server has no TLS configuration"},
		{"client", ttrpctls.ClientHandshaker(nil), "ttrpctls: the client has no TLS configuration"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, peer := net.Pipe()
			defer conn.Close()
			defer peer.Close()
			_, _, err := tc.handshaker.Handshake(context.Background(), conn)
			if err == nil || err.Error() != tc.want {
				t.Errorf("Handshake: %v, want %s", err, tc.want)
			}
		})
	}
}

func TestServerHandshakeTimeout(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		config := newAuthority(t).serverConfig(t)
		l := serve(t, tr, ttrpc.WithServerTimeouts(ttrpc.Timeouts{Handshake: time.Millisecond}),
			ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(config)))
		silent, err := tr.dial(l)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		if n, err := silent.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("B29: reading on the silent peer's connection: %d, %v, want EOF", n, err)
		}
	})
}

func TestClientHandshakeTimeout(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		l := tr.listen(t)
		defer l.Close()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, _ := l.Accept()
			accepted <- conn
		}()
		client := connect(t, tr, l, ttrpc.WithClientTimeouts(ttrpc.Timeouts{Handshake: time.Millisecond}),
			ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(newAuthority(t).clientConfig(t))))
		defer (<-accepted).Close()
		wantClosed(t, client)
		if cause := client.Cause(); !errors.Is(cause, context.DeadlineExceeded) {
			t.Errorf("B1: the cause is %v, want %v", cause, context.DeadlineExceeded)
		}
	})
}

// TestConfigIsUsedAgain: one configuration serves any number of connections.
func TestConfigIsUsedAgain(t *testing.T) {
	ca := newAuthority(t)
	l := serve(t, unix, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(ca.serverConfig(t))))
	handshaker := ttrpctls.ClientHandshaker(ca.clientConfig(t))
	for range 3 {
		client := streaming.NewStreamingClient(connect(t, unix, l, ttrpc.WithClientHandshaker(handshaker)))
		if _, err := client.Echo(context.Background(), &streaming.EchoPayload{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCiphertext: what leaves the client is not what it says.
func TestCiphertext(t *testing.T) {
	ca := newAuthority(t)
	l := serve(t, unix, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(ca.serverConfig(t))))
	conn, err := unix.dial(l)
	if err != nil {
		t.Fatal(err)
	}
	tap := &tappedConn{Conn: conn}
	client := ttrpc.NewClient(tap, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(ca.clientConfig(t))))
	_, err = streaming.NewStreamingClient(client).Echo(context.Background(), &streaming.EchoPayload{Msg: "a secret"})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := client.UserOnCloseWait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if written := tap.written(); bytes.Contains(written, []byte("a secret")) || len(written) == 0 {
		t.Errorf("the message stands in the %d bytes that were written", len(written))
	}
}

// wantClosed makes a call that fails because the handshake does.
func wantClosed(t *testing.T, client *ttrpc.Client) {
	t.Helper()
	_, err := streaming.NewStreamingClient(client).Echo(context.Background(), new(streaming.EchoPayload))
	if err != ttrpc.ErrClosed {
		t.Fatalf("B1: Echo: %v, want %v", err, ttrpc.ErrClosed)
	}
}

// TestByteStreams holds that what the handshakers return says that it is a byte stream.
func TestByteStreams(t *testing.T) {
	onEach(t, func(t *testing.T, tr transport) {
		ca := newAuthority(t)
		l := tr.listen(t)
		defer l.Close()
		conns := make(chan net.Conn, 2)
		shake := func(h ttrpc.Handshaker, conn net.Conn, err error) {
			if err == nil {
				conn, _, err = h.Handshake(context.Background(), conn)
			}
			if err != nil {
				t.Error(err)
			}
			conns <- conn
		}
		go func() {
			conn, err := l.Accept()
			shake(ttrpctls.ServerHandshaker(ca.serverConfig(t)), conn, err)
		}()
		conn, err := tr.dial(l)
		go shake(ttrpctls.ClientHandshaker(ca.clientConfig(t)), conn, err)
		for range 2 {
			conn := <-conns
			if stream, ok := conn.(ttrpc.ByteStreamConn); !ok || !stream.IsByteStream() {
				t.Errorf("B57: a %T is no byte stream", conn)
			}
			defer conn.(interface{ NetConn() net.Conn }).NetConn().Close() // nobody reads an alert
		}
	})
}
