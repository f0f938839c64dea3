// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testkit has what tests in and outside of the library's package share. It does
// not import the library, so that the library's own tests can import it.
package testkit

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Hang is how long real sockets may need for what comes for certain.
const Hang = time.Minute

// Within requires that f returns.
func Within(t *testing.T, rule string, f func()) {
	t.Helper()
	select {
	case <-WaitFor(f):
	case <-time.After(Hang):
		t.Fatalf("%s: it hangs\n%s", rule, Stacks())
	}
}

// WaitFor returns a channel that is closed when f returns.
func WaitFor(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// Stacks returns what all goroutines do.
func Stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// A Listener hands out the conns that it is given.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener to which no conn was given yet.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Hand gives the listener a conn, which Accept returns. If the listener was closed, it
// closes the conn.
func (l *Listener) Hand(nc net.Conn) {
	select {
	case l.conns <- nc:
	case <-l.closed:
		nc.Close()
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener. It is nil.
func (l *Listener) Addr() net.Addr { return nil }
