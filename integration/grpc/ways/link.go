// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// A Link is the listener of a server, whose conns can be cut, and how its clients dial it.
type Link struct {
	net.Listener

	dial  func(ctx context.Context) (net.Conn, error)
	stall func() (resume func())

	mu    sync.Mutex
	conns []net.Conn // all that there were
	cut   bool
}

// NewLink returns a link over a unix socket.
func NewLink(t testing.TB, s Setup) *Link {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	link := &Link{Listener: l}
	link.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}
	if s.Slow {
		link.pass()
	}
	t.Cleanup(link.Cut)
	if s.Refused {
		link.Cut()
	}
	return link
}

// Accept returns the conn as it came: a server may do more with a socket.
func (l *Link) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.keep(conn)
	return conn, nil
}

// keep has a conn cut with the others.
func (l *Link) keep(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		Abort(conn)
	}
	l.conns = append(l.conns, conn)
}

// Cut closes the listener and all conns.
func (l *Link) Cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, conn := range l.conns {
		Abort(conn)
	}
}

func (l *Link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// Abort closes a conn without any word of goodbye.
func Abort(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWithError(uint64, string) error }); ok {
		c.CloseWithError(1000, "cut")
	}
	conn.Close()
}

// Dial is for clients. The target, which clients of gRPC and of ttrpc have, is of no use.
func (l *Link) Dial(ctx context.Context, _ string) (net.Conn, error) { return l.dial(ctx) }

// Stall stops what is between clients and server until resume is called.
func (l *Link) Stall() (resume func()) { return l.stall() }

// pass has what clients dial pass through a relay.
func (l *Link) pass() {
	relay := &gate{open: make(chan struct{})}
	close(relay.open)
	direct := l.dial
	l.stall = relay.shut
	l.dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := direct(ctx)
		if err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		l.keep(far)
		go relay.pass(far, conn)
		go relay.pass(conn, far)
		return near, nil
	}
}

// A gate lets bytes pass while it is open.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it is open
}

func (g *gate) shut() (resume func()) {
	open := make(chan struct{})
	g.mu.Lock()
	g.open = open
	g.mu.Unlock()
	return sync.OnceFunc(func() { close(open) })
}

// await returns when the gate is open.
func (g *gate) await() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

// pass passes on what comes until either end is closed.
func (g *gate) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		g.await()
		if _, failed := to.Write(b[:n]); failed != nil || err != nil {
			return
		}
	}
}
