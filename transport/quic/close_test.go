// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/lossyudp"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/quic"
)

// relay returns a bad path to a listener, which ends with the test.
func relay(t testing.TB, l net.Listener) *lossyudp.Relay {
	t.Helper()
	r, err := lossyudp.New(l.Addr(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// across returns both ends of a connection over a relay.
func across(t testing.TB, config *quicgo.Config) (client, server *quic.Conn, path *lossyudp.Relay) {
	t.Helper()
	l := listen(t, quic.ListenConfig{QUIC: config})
	path = relay(t, l)
	client = dial(t, quic.Dialer{QUIC: config}, path.Addr())
	return client, accept(t, l), path
}

// ends calls a test for each end of a connection.
func ends(t *testing.T, test func(t *testing.T, near, far *quic.Conn)) {
	t.Run("client", func(t *testing.T) {
		client, server := over.Pair(t)
		testkit.Within(t, "B97", func() { test(t, client.(*quic.Conn), server.(*quic.Conn)) })
	})
	t.Run("server", func(t *testing.T) {
		client, server := over.Pair(t)
		testkit.Within(t, "B97", func() { test(t, server.(*quic.Conn), client.(*quic.Conn)) })
	})
}

// gone waits until a QUIC connection has ended.
func gone(t testing.TB, c *quic.Conn) {
	t.Helper()
	select {
	case <-c.AuthInfo().Context.Done():
	case <-time.After(testkit.Hang):
		t.Error("B97: the QUIC connection lives on")
	}
}

// causeOf is what ended a QUIC connection, with its code.
func causeOf(c *quic.Conn) (code uint64, remote bool) {
	var ended *quicgo.ApplicationError
	if !errors.As(context.Cause(c.QUIC().Context()), &ended) {
		return 1 << 62, false
	}
	return uint64(ended.ErrorCode), ended.Remote
}

// TestBothClose has either end close first, without having written, and looks for the code.
func TestBothClose(t *testing.T) {
	ends(t, func(t *testing.T, near, far *quic.Conn) {
		near.Close()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("B97: the other end reads %d, %v", n, err)
		}
		far.Close()
		gone(t, near)
		gone(t, far)
		nearCode, _ := causeOf(near)
		farCode, _ := causeOf(far)
		if nearCode != 0 || farCode != 0 {
			t.Errorf("B97: the connection ended with the codes %d and %d", nearCode, farCode)
		}
	})
	ends(t, func(t *testing.T, near, far *quic.Conn) {
		var both sync.WaitGroup
		for _, c := range []*quic.Conn{near, far} {
			both.Go(func() { c.Close() })
		}
		both.Wait()
		gone(t, near)
		gone(t, far)
	})
}

// TestCloseWaits holds that what was written arrives though much is lost, and though the other
// end has yet to read it, and has half-closed.
func TestCloseWaits(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	path := relay(t, l)
	path.SetLoss(0.1)
	want := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	for i := range 6 {
		client := dial(t, quic.Dialer{}, path.Addr())
		server := accept(t, l)
		near, far := net.Conn(client), net.Conn(server)
		if i%2 == 1 {
			near, far = server, client
		}
		if i >= 2 {
			far.(*quic.Conn).CloseWrite()
		}
		near.Write(want)
		near.Close()
		if i >= 4 {
			// All has arrived, and the end has; nobody has read it.
			time.Sleep(100 * time.Millisecond)
		}
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("B97: %d of %d bytes arrived, %v", len(got), len(want), err)
		}
		far.Close()
	}
}

// TestCloseIsBounded has an end that never closes, nor reads: it is told why the connection ends.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	client, server := over.Pair(t)
	near, far := server.(*quic.Conn), client.(*quic.Conn)
	near.Write([]byte("nobody reads it"))
	far.Write([]byte("nor this"))
	near.Close()
	gone(t, near)
	gone(t, far)
	var ended *quic.CloseError
	for range 2 {
		if _, err := far.Read(make([]byte, 1)); !errors.As(err, &ended) || ended.Code != quic.CodeUnread || errors.Is(err, net.ErrClosed) {
			t.Errorf("B97: who has not read in time learns %v", err)
		}
	}
	if _, err := near.Read(make([]byte, 1)); err != net.ErrClosed {
		t.Errorf("B97: who has closed reads %v", err)
	}
}

// TestReadAfterClose has Reads that begin while Close waits for an end that has opened nothing.
func TestReadAfterClose(t *testing.T) {
	ends(t, func(t *testing.T, near, far *quic.Conn) {
		waits := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			waits <- err
		}()
		near.Close()
		if err := <-waits; err != net.ErrClosed {
			t.Errorf("B97: a Read that waited: %v", err)
		}
		start := time.Now()
		for range 3 {
			if _, err := near.Read(make([]byte, 1)); err != net.ErrClosed {
				t.Errorf("B97: Read after Close: %v", err)
			}
		}
		if err := near.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("B97: SetDeadline after Close: %v", err)
		}
		select {
		case <-near.AuthInfo().Context.Done():
			t.Errorf("B97: those Reads have taken %v, until the connection had ended", time.Since(start))
		default:
		}
		far.Close()
		gone(t, near)
	})
}

// TestDeadlineOfNothing has deadlines of a Read that waits for an end that has opened nothing.
func TestDeadlineOfNothing(t *testing.T) {
	ends(t, func(t *testing.T, near, far *quic.Conn) {
		waits := make(chan error)
		read := func() {
			_, err := near.Read(make([]byte, 1))
			waits <- err
		}
		for range 3 {
			near.SetReadDeadline(time.Now().Add(time.Hour))
			go read()
			time.Sleep(5 * time.Millisecond) // it does not tell that it waits; however it comes, it ends
			near.SetReadDeadline(time.Now().Add(time.Millisecond))
			if err := <-waits; err != os.ErrDeadlineExceeded {
				t.Errorf("B96: Read whose deadline was set meanwhile: %v", err)
			}
		}
		near.SetReadDeadline(time.Now().Add(time.Hour))
		go read()
		near.SetReadDeadline(time.Time{})
		far.Write([]byte("x"))
		if err := <-waits; err != nil {
			t.Errorf("B96: Read after that: %v", err)
		}
		near.SetReadDeadline(time.Unix(1, 0)) // of the stream that there is now
		go read()
		if err := <-waits; err != os.ErrDeadlineExceeded {
			t.Errorf("B96: Read after its deadline: %v", err)
		}
	})
}

// TestCloseWithError has an end tell why.
func TestCloseWithError(t *testing.T) {
	ends(t, func(t *testing.T, near, far *quic.Conn) {
		waits := make(chan error, 1)
		go func() {
			_, err := far.Read(make([]byte, 1))
			waits <- err
		}()
		if err := near.CloseWithError(300, "you are\nnot welcome"); err != nil {
			t.Error(err)
		}
		var ended *quic.CloseError
		err := <-waits
		if !errors.As(err, &ended) || ended.Code != 300 {
			t.Errorf("B97: the other end reads %v", err)
		}
		wantError(t, "B97", err, ended, "code 300: you are not welcome")
		_, err = far.Write([]byte("x"))
		wantError(t, "B97", err, err, "code 300")
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "write" || op.Timeout() {
			t.Errorf("B97: Write: %#v", err)
		}
		for _, f := range []func([]byte) (int, error){near.Read, near.Write} {
			if _, err := f([]byte("x")); err != net.ErrClosed {
				t.Errorf("B97: after that: %v", err)
			}
		}
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGoodbyes has a server shut down while a call runs, over a path that loses much: the
// answer arrives, and the client learns that it may repeat what comes later.
func TestGoodbyes(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	path := relay(t, l)
	path.SetLoss(0.05)
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		t.Fatal(err)
	}
	running, answer := make(chan struct{}), make(chan struct{})
	server.Register("slow", map[string]ttrpc.Method{"Wait": func(context.Context, func(any) error) (any, error) {
		close(running)
		<-answer
		return wrapperspb.String("at last"), nil
	}})
	served := testkit.WaitFor(func() { _ = server.Serve(context.Background(), l) })
	client := ttrpc.NewClient(dial(t, quic.Dialer{}, path.Addr()), ttrpc.WithExtensions())
	defer client.Close()
	called := make(chan error, 1)
	var got wrapperspb.StringValue
	go func() { called <- client.Call(t.Context(), "slow", "Wait", wrapperspb.String(""), &got) }()
	<-running
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(t.Context()) }()
	<-served
	close(answer)
	if err := <-called; err != nil || got.Value != "at last" {
		t.Errorf("B97: the answer of a server that shuts down: %q, %v", got.Value, err)
	}
	if err := <-down; err != nil {
		t.Errorf("B25: Shutdown: %v", err)
	}
	<-client.Done()
	if err := client.Call(t.Context(), "slow", "Wait", wrapperspb.String(""), &got); !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("B1: a call after that: %v", err)
	}
}

// TestListenerCloses has conns that were accepted, one that waits, and a dial after.
func TestListenerCloses(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	conn := dial(t, quic.Dialer{}, l.Addr())
	server := accept(t, l)
	waiting := dial(t, quic.Dialer{}, l.Addr())
	waiting.SetReadDeadline(time.Now().Add(testkit.Hang))
	waited := make(chan error, 1)
	go func() {
		_, err := waiting.Read(make([]byte, 1))
		waited <- err
	}()
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("B98: Close: %v", err)
		}
	}
	err := <-waited
	var ended *quic.CloseError
	if !(errors.As(err, &ended) && ended.Code == quic.CodeNotAccepted) && !errors.Is(err, quic.ErrRefused) { // the server may not have ended the handshake
		t.Errorf("B98: a conn that waited for Accept: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("B98: Accept after Close: %v", err)
	}
	conn.Write([]byte("still there"))
	got := make([]byte, 11)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "still there" {
		t.Errorf("B98: a conn that was accepted: %q, %v", got, err)
	}
	d := quic.Dialer{TLS: clientTLS, HandshakeTimeout: 300 * time.Millisecond}
	if _, err := d.Dial(t.Context(), l.Addr().String()); err == nil {
		t.Error("B98: a listener that is closed takes a connection")
	}
	conn.Close()
	server.Close()
	gone(t, server)
	// The socket ends after the last conn.
	for end := time.Now().Add(testkit.Hang); ; time.Sleep(time.Millisecond) {
		packets, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			packets.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("B97: the socket lives on: %v", err)
		}
	}
}

// TestAcceptEnds has an Accept that waits when its listener, or what is below it, is closed.
func TestAcceptEnds(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	shared := &quicgo.Transport{Conn: packets}
	for _, end := range []func(l *quic.Listener) error{
		(*quic.Listener).Close,
		func(*quic.Listener) error { return shared.Close() },
	} {
		l, err := (&quic.ListenConfig{TLS: serverTLS}).ListenTransport(shared)
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			waits <- err
		}()
		end(l)
		err = <-waits
		var op *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || op.Temporary() {
			t.Errorf("B98: Accept at the end: %v", err)
		}
		l.Close()
	}
}

// TestNobodyAccepts has more clients than may wait: what is beyond is refused, and told so.
func TestNobodyAccepts(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	d := quic.Dialer{TLS: clientTLS}
	var conns []net.Conn
	refused := 0
	for range 40 {
		c, err := d.Dial(t.Context(), l.Addr().String())
		if err == nil {
			t.Cleanup(func() { c.Close() })
			conns = append(conns, c)
			if len(conns) > 32 { // the server has not finished the handshake yet, and refuses then
				_, err = c.Read(make([]byte, 1))
			}
		}
		if err != nil {
			wantError(t, "B98", err, quic.ErrRefused, "")
			refused++
		}
	}
	if refused != 8 {
		t.Errorf("B98: %d of 40 conns that nobody accepts were refused", refused)
	}
	for range 32 {
		accept(t, l).Close()
	}
	for _, c := range conns {
		c.Close()
	}
}

// TestManyAtOnce has many clients come in one moment.
func TestManyAtOnce(t *testing.T) {
	patient := &quicgo.Config{HandshakeIdleTimeout: testkit.Hang}
	l := listen(t, quic.ListenConfig{QUIC: patient})
	transporttest.Serve(t, l)
	d := quic.Dialer{TLS: clientTLS, QUIC: patient, HandshakeTimeout: testkit.Hang}
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			c, err := d.Dial(t.Context(), l.Addr().String())
			if err != nil {
				t.Errorf("B98: %v", err)
				return
			}
			transporttest.Echo(t, transporttest.Connect(t, c), "hello")
		})
	}
	all.Wait()
}
