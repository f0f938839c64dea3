// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A transport is what the connections of a test run over.
type transport struct {
	name   string
	listen func(t *testing.T) net.Listener
	dial   func(l net.Listener) (net.Conn, error)
}

var (
	unix = transport{"unix", listenUnix, func(l net.Listener) (net.Conn, error) { return net.Dial("unix", l.Addr().String()) }}
	pipe = transport{"pipe", listenPipe, func(l net.Listener) (net.Conn, error) { return l.(*pipeListener).dial() }}
)

func listenUnix(t *testing.T) net.Listener {
	dir, err := os.MkdirTemp("", "ttrpctls") // a test's own name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A pipeListener accepts the other ends of the pipes that dial makes.
type pipeListener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenPipe(*testing.T) net.Listener {
	return &pipeListener{accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accept <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return nil }

// serve runs a server until the test ends, and returns its listener.
func serve(t *testing.T, tr transport, opts ...ttrpc.ServerOpt) net.Listener {
	t.Helper()
	server, err := ttrpc.NewServer(append(opts, ttrpc.WithServerLogger(discard{}))...)
	if err != nil {
		t.Fatal(err)
	}
	streaming.RegisterStreamingService(server, streaming.Service{})
	l := tr.listen(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("Serve: %v, want %v", err, ttrpc.ErrServerClosed)
		}
	})
	return l
}

// connect returns a client that is closed when the test ends.
func connect(t *testing.T, tr transport, l net.Listener, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	conn, err := tr.dial(l)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, append(opts, ttrpc.WithClientLogger(discard{}))...)
	t.Cleanup(func() {
		client.Close()
		if err := client.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client
}

// discard is the logger of tests in which handshakes are meant to fail.
type discard struct{}

func (discard) Debug(string, ...any) {}
func (discard) Info(string, ...any)  {}
func (discard) Warn(string, ...any)  {}
func (discard) Error(string, ...any) {}

// A tappedConn keeps a copy of what is written.
type tappedConn struct {
	net.Conn
	mu  sync.Mutex
	out []byte
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b...)
	return c.Conn.Write(b)
}

func (c *tappedConn) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.out...)
}
