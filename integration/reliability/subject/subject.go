// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// A subject is what the driver sees of this process. Its exported methods are
// the driver's; they may run concurrently.
type subject struct {
	entered, left, received atomic.Int64

	mu sync.Mutex

	// Guarded by mu.
	open     chan struct{} // closed by Release: held handlers return
	server   *ttrpc.Server
	listener net.Listener
	served   chan error // what Serve returned
	clients  []*ttrpc.Client
}

func newSubject() *subject { return &subject{open: make(chan struct{})} }

// None is the argument or the reply of a method that has none.
type None = struct{}

// Serve starts a server.
func (s *subject) Serve(o control.Options, _ *None) error {
	opts := options(o)
	if o.Handshake {
		opts = append(opts, ttrpc.WithServerHandshaker(hello{}))
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		return err
	}
	server.RegisterService(control.TTRPC, &ttrpc.ServiceDesc{Methods: s.methods(), Streams: s.streams()})
	l, err := net.Listen("unix", o.Address)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	s.mu.Lock()
	s.server, s.listener, s.served = server, l, served
	s.mu.Unlock()
	go func() { served <- server.Serve(context.Background(), l) }()
	return nil
}

// hello is a handshake that waits for the client to speak.
type hello struct{}

// Handshake implements ttrpc.Handshaker.
func (hello) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	b := make([]byte, 1)
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, nil, err
	}
	if b[0] != control.Hello {
		return nil, nil, errors.New("no greeting")
	}
	return conn, nil, nil
}

// Stats tells what this process holds.
func (s *subject) Stats(_ None, reply *control.Stats) error {
	runtime.GC()
	debug.FreeOSMemory() // what finalizers and pools held goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*reply = control.Stats{
		Goroutines: runtime.NumGoroutine(),
		Memory:     int64(m.HeapAlloc + m.StackInuse),
		Entered:    s.entered.Load(),
		Left:       s.left.Load(),
		Received:   s.received.Load(),
	}
	return nil
}

// Counters are the stats that cost nothing.
func (s *subject) Counters(_ None, reply *control.Stats) error {
	*reply = control.Stats{
		Goroutines: runtime.NumGoroutine(),
		Entered:    s.entered.Load(),
		Left:       s.left.Load(),
		Received:   s.received.Load(),
	}
	return nil
}

// Release lets all handlers return that wait to be released.
func (s *subject) Release(None, *None) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.open)
	s.open = make(chan struct{})
	return nil
}

// released returns a channel that the next Release closes.
func (s *subject) released() gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Shutdown shuts the server down, with a timeout. The reply is the error's text.
func (s *subject) Shutdown(timeout time.Duration, reply *string) error {
	ctx, cancel := within(timeout)
	defer cancel()
	*reply = text(s.server.Shutdown(ctx))
	return nil
}

// Close closes the server. The reply is the error's text.
func (s *subject) Close(_ None, reply *string) error {
	*reply = text(s.server.Close())
	return nil
}

// CloseListener closes the listener under Serve.
func (s *subject) CloseListener(None, *None) error { return s.listener.Close() }

// Served waits until Serve returns. The reply is the error's text.
func (s *subject) Served(_ None, reply *string) error {
	err := <-s.served
	s.served <- err
	*reply = text(err)
	return nil
}

func text(err error) string {
	if err == nil {
		return control.OK
	}
	return err.Error()
}
