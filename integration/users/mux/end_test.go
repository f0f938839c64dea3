// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
)

// TestClientCloses closes a client with calls under way. The other connection on
// the trunk goes on, and the server of this one learns of it only by the trunk.
func TestClientCloses(t *testing.T) {
	h := newHolder()
	closed := make(chan struct{})
	runtime, plugin := both(t, exchange.Options{OnClose: func() { close(closed) }}, h.options())
	ends := h.call(t, t.Context(), runtime.Client)
	if err := runtime.Client.Close(); err != nil {
		t.Errorf("B12: Close returned %v", err)
	}
	wantEnds(t, ends, ttrpc.ErrClosed, "B1: a call after Close")
	within(t, closed, "B12: WithOnClose's function runs")
	if err := exchange.Echo(limited(t), plugin.Client, 1, 5000); err != nil {
		t.Errorf("the other connection of the trunk: %v", err)
	}
	runtime.Mux.Close()
	wantEnds(t, h.ended, context.Canceled, "B26: a handler whose peer has gone")
}

// TestServerCloses closes a server with calls under way. Its client learns of it
// only by the trunk.
func TestServerCloses(t *testing.T) {
	h := newHolder()
	runtime, plugin := both(t, exchange.Options{}, h.options())
	ends := h.call(t, t.Context(), runtime.Client)
	if err := plugin.Server.Close(); err != nil {
		t.Errorf("B25: Close returned %v", err)
	}
	wantEnds(t, h.ended, context.Canceled, "B26: a handler whose server was closed")
	if err := within(t, plugin.Served, "B24: Serve returns"); err != ttrpc.ErrServerClosed {
		t.Errorf("B24: Serve returned %v", err)
	}
	if err := exchange.Echo(limited(t), plugin.Client, 1, 5000); err != nil {
		t.Errorf("the other connection of the trunk: %v", err)
	}
	plugin.Mux.Close()
	wantEnds(t, ends, ttrpc.ErrClosed, "B1: a call whose peer has gone")
}

// TestMuxCloses closes either end of the trunk with calls under way in both
// directions.
func TestMuxCloses(t *testing.T) {
	for i, side := range []exchange.Side{exchange.Runtime, exchange.Plugin} {
		t.Run(side.Name, func(t *testing.T) {
			here, there := newHolder(), newHolder()
			var closed sync.WaitGroup
			closed.Add(2)
			opts := [2]exchange.Options{here.options(), there.options()}
			opts[0].OnClose, opts[1].OnClose = closed.Done, closed.Done
			runtime, plugin := both(t, opts[0], opts[1])
			out, in := there.call(t, t.Context(), runtime.Client), here.call(t, t.Context(), plugin.Client)
			[]*exchange.End{runtime, plugin}[i].Mux.Close()
			for _, ends := range []<-chan error{out, in} {
				wantEnds(t, ends, ttrpc.ErrClosed, "B1: a call whose connection has gone")
			}
			for _, ends := range []<-chan error{here.ended, there.ended} {
				wantEnds(t, ends, context.Canceled, "B26: a handler whose connection has gone")
			}
			closed.Wait()
		})
	}
}

// TestMuxClosesUnderLoad closes either end of the trunk while both make calls as
// fast as they can.
func TestMuxClosesUnderLoad(t *testing.T) {
	for i, side := range []exchange.Side{exchange.Runtime, exchange.Plugin} {
		t.Run(side.Name, func(t *testing.T) {
			runtime, plugin := both(t, exchange.Options{}, exchange.Options{})
			ends := []*exchange.End{runtime, plugin}
			ctx := limited(t)
			var begun, done sync.WaitGroup
			begun.Add(4 * inFlight)
			for caller := range 4 * inFlight {
				done.Go(func() {
					c := ends[caller%2].Client
					err := exchange.Echo(ctx, c, caller, 10)
					begun.Done()
					for n := caller; err == nil; n += 811 {
						err = exchange.Echo(ctx, c, n, n%9000)
					}
					if !errors.Is(err, ttrpc.ErrClosed) {
						t.Errorf("B1: a call whose connection has gone: %v", err)
					}
				})
			}
			begun.Wait()
			ends[i].Mux.Close()
			done.Wait()
		})
	}
}

// lasting is a listener with one connection, which it does not close. That of NRI
// does.
type lasting struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newLasting(c net.Conn) net.Listener {
	l := &lasting{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- c
	return l
}

func (l *lasting) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

func (l *lasting) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *lasting) Addr() net.Addr { return nil }

// TestShutdown has a server finish the calls that are under way.
func TestShutdown(t *testing.T) {
	h := newHolder()
	opts := h.options()
	opts.Listen = newLasting
	runtime, plugin := both(t, exchange.Options{}, opts)
	ends := h.call(t, t.Context(), runtime.Client)
	down := make(chan error, 1)
	go func() { down <- plugin.Server.Shutdown(limited(t)) }()
	if err := within(t, plugin.Served, "B24: Serve returns"); err != ttrpc.ErrServerClosed {
		t.Errorf("B24: Serve returned %v", err)
	}
	select {
	case err := <-ends:
		t.Errorf("B25: a call ended before its handler did: %v", err)
	case err := <-down:
		t.Errorf("B25: Shutdown returned %v before the calls ended", err)
	default:
	}
	close(h.released)
	calls, streams := 0, 0
	for range 2 * inFlight {
		switch err := within(t, ends, "B25: a call ends"); err {
		case nil:
			calls++
		case io.EOF:
			streams++
		default:
			t.Errorf("B25: a call under way at Shutdown: %v", err)
		}
	}
	if calls != inFlight || streams != inFlight {
		t.Errorf("B25: %d calls and %d streams finished, want %d each", calls, streams, inFlight)
	}
	if err := within(t, down, "B25: Shutdown returns"); err != nil {
		t.Errorf("B25: Shutdown returned %v", err)
	}
}

// TestShutdownCloses shuts a server down whose listener is NRI's: to close that is
// to close the connection, so nothing is left to wait for.
func TestShutdownCloses(t *testing.T) {
	h := newHolder()
	runtime, plugin := both(t, exchange.Options{}, h.options())
	ends := h.call(t, t.Context(), runtime.Client)
	if err := plugin.Server.Shutdown(limited(t)); err != nil {
		t.Errorf("B25: Shutdown returned %v", err)
	}
	wantEnds(t, h.ended, context.Canceled, "B26: a handler whose connection was closed")
	plugin.Mux.Close()
	wantEnds(t, ends, ttrpc.ErrClosed, "B1: a call whose peer has gone")
}
