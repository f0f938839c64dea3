// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	coder "github.com/coder/websocket"

	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/websocket"
)

// A box is in between, and passes bytes on as it is told.
type box struct {
	URL  string
	pass func(to io.Writer, b []byte) bool // whether to go on

	mu    sync.Mutex
	conns []net.Conn
}

// newBox returns a box in front of a server.
func newBox(t testing.TB, url string, pass func(to io.Writer, b []byte) bool) *box {
	b := &box{pass: pass}
	b.URL = raw(t, func(client net.Conn) {
		server, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		b.mu.Lock()
		b.conns = append(b.conns, client, server)
		b.mu.Unlock()
		done := testkit.WaitFor(func() { b.copy(client, server) })
		b.copy(server, client)
		<-done
	})
	t.Cleanup(b.cut)
	return b
}

func (b *box) copy(to, from net.Conn) {
	buf := make([]byte, 2<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !b.pass(to, buf[:n]) || err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

// cut cuts all connections.
func (b *box) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
}

// A wire is a connection in memory whose bytes can be lost on the way.
type wire struct {
	net.Conn
	lost *atomic.Bool
}

func (w wire) Write(b []byte) (int, error) {
	if w.lost.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (wire) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (wire) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// inMemory has a listener serve what is dialled by way of the transport, over connections that
// hold 64 KiB until lost says that they lose everything.
func inMemory(t *testing.T, l *websocket.Listener) (tr *http.Transport, lost *atomic.Bool) {
	lost = new(atomic.Bool)
	below := testkit.NewListener()
	s := &http.Server{Handler: l}
	served := testkit.WaitFor(func() { s.Serve(below) })
	t.Cleanup(func() {
		l.Close()
		s.Close()
		<-served
	})
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		a, b := memconn.Pipe(64 << 10)
		below.Hand(wire{b, lost})
		return wire{a, lost}, nil
	}}, lost
}

// TestSilence has the network lose everything. The end that pings notices, in time.
func TestSilence(t *testing.T) {
	for _, end := range []string{"client", "server"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d := new(websocket.Listener), new(websocket.Dialer)
				if end == "client" {
					l.PingInterval = -1
				} else {
					d.PingInterval = -1
				}
				tr, lost := inMemory(t, l)
				d.Transport = tr
				client, server := accept(t, l, d, "ws://x")
				time.Sleep(time.Hour) // they are idle
				exchange(t, client, server)
				lost.Store(true)
				from := time.Now()
				c := map[string]net.Conn{"client": client, "server": server}[end]
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, websocket.ErrSilent) {
					t.Errorf("B111: %v, want %v", err, websocket.ErrSilent)
				}
				if _, err := c.Write(make([]byte, 1)); !errors.Is(err, websocket.ErrSilent) {
					t.Errorf("B111: Write: %v, want %v", err, websocket.ErrSilent)
				}
				if after := time.Since(from); after > time.Minute {
					t.Errorf("B111: noticed after %v, want a minute at most", after)
				}
			})
		})
	}
}

// TestCut has the connection lost in between.
func TestCut(t *testing.T) {
	l := listen(t, new(websocket.Listener))
	s := serve(t, l)
	b := newBox(t, at(s), func(to io.Writer, p []byte) bool {
		_, err := to.Write(p)
		return err == nil
	})
	client, server := accept(t, l, new(websocket.Dialer), b.URL)
	exchange(t, client, server)
	b.cut()
	testkit.Within(t, "B97", func() {
		for _, c := range []net.Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("B97: %v, want %v", err, io.ErrUnexpectedEOF)
			}
		}
	})
}

// TestSlowPrograms has neither program read for many timeouts, while both write as much as
// goes. No end is taken for gone, and nothing is lost.
func TestSlowPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(websocket.Listener)
		tr, _ := inMemory(t, l)
		client, server := accept(t, l, &websocket.Dialer{Transport: tr}, "ws://x")
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
		var writers sync.WaitGroup
		ends := [2]net.Conn{client, server}
		for _, c := range ends {
			writers.Go(func() {
				if _, err := c.Write(want); err != nil {
					t.Errorf("B111: Write: %v", err)
				}
			})
		}
		time.Sleep(time.Hour)
		for _, c := range ends {
			got := make([]byte, len(want))
			if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("B111: %d bytes: %v", n, err)
			}
		}
		writers.Wait()
	})
}

// TestPingsWhileStuck has a peer of another kind ping a conn that waits for it to read. The
// answer comes, behind the data, and the conn lives.
func TestPingsWhileStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &websocket.Listener{PingInterval: -1}
		tr, _ := inMemory(t, l)
		ws, _, err := coder.Dial(t.Context(), "ws://x", &coder.DialOptions{HTTPClient: &http.Client{Transport: tr}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const size = 1 << 20
		wrote := testkit.WaitFor(func() {
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Errorf("B111: %v", err)
			}
		})
		pinged := testkit.WaitFor(func() {
			if err := ws.Ping(t.Context()); err != nil {
				t.Errorf("B111: %v", err)
			}
		})
		time.Sleep(time.Hour)
		for n := 0; n < size; {
			_, m, err := ws.Read(t.Context())
			if err != nil {
				t.Fatalf("B111: after %d bytes: %v", n, err)
			}
			n += len(m)
		}
		<-wrote
		ctx := ws.CloseRead(t.Context())
		<-pinged
		if ctx.Err() != nil {
			t.Error("B111: the websocket has ended")
		}
	})
}

// TestFlood has a peer ping, and not read the answers.
func TestFlood(t *testing.T) {
	l := listen(t, new(websocket.Listener))
	s := serve(t, l)
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(err, c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }))
	}}
	nc, err := small.Dial("tcp", strings.TrimPrefix(at(s), "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		// A ping of 125 bytes, with a mask of zeros.
		pings := bytes.Repeat(append([]byte{0x89, 0x80 | 125, 0, 0, 0, 0}, make([]byte, 125)...), 100)
		for err := error(nil); err == nil; {
			_, err = nc.Write(pings)
		}
	}()
	testkit.Within(t, "B111", func() {
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "asks for answers and does not read them") {
			t.Errorf("B111: %v", err)
		}
	})
}

// TestSlowBox makes calls through something that passes bytes in small pieces, now and then.
func TestSlowBox(t *testing.T) {
	t.Parallel() // it sleeps
	l := listen(t, &websocket.Listener{PingInterval: 10 * time.Millisecond, PingTimeout: time.Second})
	s := serve(t, l)
	b := newBox(t, at(s), func(to io.Writer, p []byte) bool {
		for len(p) > 0 {
			n := min(len(p), 97)
			if _, err := to.Write(p[:n]); err != nil {
				return false
			}
			p = p[n:]
			time.Sleep(10 * time.Microsecond)
		}
		return true
	})
	transporttest.Serve(t, l)
	c, err := (&websocket.Dialer{PingInterval: l.PingInterval, PingTimeout: l.PingTimeout}).Dial(t.Context(), b.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := transporttest.Connect(t, c)
	for _, size := range []int{0, 1000, 100_000} {
		transporttest.Echo(t, client, strings.Repeat("x", size))
	}
}
