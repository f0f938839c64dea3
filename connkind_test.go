// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/memconn"
)

// tlsPair returns the two ends of a TLS connection over a unix socket.
func tlsPair(t testing.TB) (net.Conn, net.Conn) {
	a, b := unixPair(t)
	return tlsOver(t, a, b)
}

// tlsOver returns the two ends of a TLS connection over a and b.
func tlsOver(t testing.TB, a, b net.Conn) (client, server net.Conn) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	far := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}})
	near := tls.Client(a, &tls.Config{InsecureSkipVerify: true}) // who the peer is does not matter here
	shaken := make(chan error, 1)
	go func() { shaken <- far.Handshake() }()
	if err := near.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return ByteStream(near), ByteStream(far)
}

// An inheritingConn has the methods of a conn that can say what it is.
type inheritingConn struct{ *memconn.Conn }

func TestConnKinds(t *testing.T) {
	unix, _ := unixPair(t)
	plain, _ := memconn.Pipe(0)
	stream, _ := memconn.StreamPipe(0)
	pipe, _ := net.Pipe()
	for _, test := range []struct {
		name string
		conn net.Conn
		want connKind
	}{
		{"a unix socket", unix, kernelKind},
		{"a TCP socket", new(net.TCPConn), kernelKind},
		{"a type that embeds a socket", struct{ *net.UnixConn }{unix}, packetConn},
		{"a conn that says nothing", pipe, packetConn},
		{"a conn that says no", plain, packetConn},
		{"a conn that says yes", stream, streamConn},
		{"a type that embeds one that says yes", inheritingConn{stream}, streamConn},
		{"a type that hides it", struct{ net.Conn }{stream}, packetConn},
		{"TLS", tls.Client(unix, nil), streamConn},
		{"TLS on a conn that says nothing", tls.Client(pipe, nil), packetConn},
		{"TLS of which somebody else says it", ByteStream(tls.Client(pipe, nil)), streamConn},
		{"a type that embeds TLS", struct{ *tls.Conn }{tls.Client(unix, nil)}, packetConn},
		{"a conn that said no", ByteStream(plain), streamConn},
	} {
		if got := kindOf(test.conn); got != test.want {
			t.Errorf("B57: %s is of kind %d, want %d", test.name, got, test.want)
		}
	}
	for _, conn := range []net.Conn{unix, stream} {
		if got := ByteStream(conn); got != conn {
			t.Errorf("B57: a %T was wrapped for nothing: %T", conn, got)
		}
	}
	if _, _, err := newChannel(new(net.TCPConn)).recv(); err == nil {
		t.Error("B57: a socket that was never opened can be read")
	}
}

// TestPacketSocketIsNoStream holds that a unix socket that keeps packets apart is not
// taken for one that does not.
func TestPacketSocketIsNoStream(t *testing.T) {
	address := &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixpacket"}
	l, err := net.ListenUnix("unixpacket", address)
	if err != nil {
		t.Skip("no such sockets here: ", err)
	}
	defer l.Close()
	conn, err := net.DialUnix("unixpacket", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := kindOf(conn); got != packetConn {
		t.Errorf("B43: it is of kind %d, want %d", got, packetConn)
	}
}

// TestWritesOnByteStreams holds that a frame leaves in one Write there, of any size.
func TestWritesOnByteStreams(t *testing.T) {
	a, b := memconn.StreamPipe(0)
	sender, receiver := newChannel(a), newChannel(b)
	var want []int
	for _, n := range []int{0, 4086, 4087, 70_000, messageLengthMax} {
		if err := sender.send(1, messageTypeData, 0, pattern(n)); err != nil {
			t.Fatal(err)
		}
		want = append(want, messageHeaderLength+n)
		if _, data, err := receiver.recv(); err != nil || !bytes.Equal(data, pattern(n)) {
			t.Fatalf("B57: %d bytes came as %d, %v", n, len(data), err)
		}
	}
	if got := a.Writes(); !slices.Equal(got, want) {
		t.Errorf("B57: writes of %v bytes, want %v", got, want)
	}
}

// TestPromisedMemoryOverTLS holds that a peer that promises much costs little there, too.
func TestPromisedMemoryOverTLS(t *testing.T) {
	a, b := tlsPair(t)
	ch := newChannel(b)
	data := pattern(messageLengthMax)
	frame := frameBytes(1, messageTypeData, 0, data)
	if _, err := a.Write(frame[:messageHeaderLength+10]); err != nil {
		t.Fatal(err)
	}
	for ch.part == nil || len(ch.part.data) < 10 {
		if _, err := ch.recvFrame(false); err != errNoFrame {
			t.Fatal(err)
		}
	}
	if got := cap(ch.part.data); got > packetSize {
		t.Errorf("B57: %d bytes are held for a frame of which ten arrived", got)
	}
	go a.Write(frame[messageHeaderLength+10:])
	if _, got, err := ch.recv(); err != nil || !bytes.Equal(got, data) {
		t.Errorf("B57: the frame came with %d bytes, %v", len(got), err)
	}
}

// A probedConn tells with how much room Read waits.
type probedConn struct {
	net.Conn
	room chan int
}

func (c probedConn) Read(p []byte) (int, error) {
	select {
	case c.room <- len(p):
	default:
	}
	return c.Conn.Read(p)
}

// TestWaitingByteStreamHoldsLittle holds how much memory waits for what comes next,
// whatever came before.
func TestWaitingByteStreamHoldsLittle(t *testing.T) {
	for name, sizes := range map[string][]int{
		"nothing":       nil,
		"a frame":       {100},
		"many":          {3000, 100, 3000, 20},
		"a large frame": {100_000},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := memconn.StreamPipe(0)
			ch := newChannel(ByteStream(probedConn{b, nil}))
			for _, n := range sizes {
				a.Write(frameBytes(1, messageTypeData, 0, pattern(n)))
			}
			for range sizes {
				if _, _, err := ch.recv(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ch.recvFrame(false); err != errNoFrame {
				t.Fatal(err)
			}
			if got := cap(ch.buf.data); got > waitBufferSize || ch.part != nil {
				t.Errorf("B57: %d bytes wait", got)
			}
		})
	}
}

// TestFullBufferGrows holds that many small frames are not read in small pieces.
func TestFullBufferGrows(t *testing.T) {
	a, b := memconn.StreamPipe(0)
	probed := probedConn{b, make(chan int, 100)}
	ch := newChannel(ByteStream(probed))
	a.Write(bytes.Repeat(frameBytes(1, messageTypeData, 0, pattern(90)), 300))
	for range 300 {
		if _, _, err := ch.recv(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(probed.room); got > 3 {
		t.Errorf("B57: 30,000 bytes were read in %d pieces", got)
	}
}

// TestNothingHasArrived holds that a byte stream can be asked for what has arrived, and
// then be waited for as before.
func TestNothingHasArrived(t *testing.T) {
	for name, pair := range connPairs {
		a, b := pair(t)
		ch := newChannel(b)
		if ch.kind == packetConn {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if _, err := ch.recvFrame(false); err != errNoFrame {
				t.Fatalf("B57: nothing was sent, and reading tells %v", err)
			}
			go func() {
				a.Write(frameBytes(1, messageTypeData, 0, pattern(10)))
				a.Write(frameBytes(3, messageTypeData, 0, pattern(5000)))
			}()
			if h, _, err := ch.recv(); err != nil || h.StreamID != 1 {
				t.Errorf("B57: %+v, %v", h, err)
			}
			f, err := ch.recvFrame(false)
			for err == errNoFrame {
				f, err = ch.recvFrame(false)
			}
			if err != nil || f.header.StreamID != 3 {
				t.Errorf("B57: %+v, %v", f, err)
			}
			b.SetReadDeadline(time.Unix(1, 0))
			if _, err := ch.recvFrame(true); !os.IsTimeout(err) {
				t.Errorf("B57: after a deadline that has passed: %v", err)
			}
		})
	}
}
