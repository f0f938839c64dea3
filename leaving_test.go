// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// wantDraining requires that the channel is closed, or not.
func wantDraining(t *testing.T, what string, draining <-chan struct{}, want bool) {
	t.Helper()
	synctest.Wait()
	select {
	case <-draining:
		if !want {
			t.Errorf("B70: %s: it is told too early", what)
		}
	default:
		if want {
			t.Errorf("B70: %s: it is not told", what)
		}
	}
}

// TestDrainingGoodbye holds that either end tells of the peer's goodbye while calls are
// under way, and of it before it ends.
func TestDrainingGoodbye(t *testing.T) {
	onEitherEnd(t, func(t *testing.T, e *extendedEnd) {
		e.peer.request(e.theirs(0), 0, "Wait", nil)
		handler := DrainingFromContext(<-e.ts.contexts)
		client := e.client.Draining()
		wantDraining(t, "a handler", handler, false)
		wantDraining(t, "a client", client, false)
		e.peer.write(goodbyeFrame(0, status.New(codes.Unavailable, "bye")).data)
		wantDraining(t, "a handler", handler, true)
		wantDraining(t, "a client", client, true)
		wantDraining(t, "who asks later", e.client.Draining(), true)
		if err := e.client.Cause(); err != nil {
			t.Errorf("B70: it has ended: %v", err)
		}
		e.ts.answers <- nil
		e.peer.wantResult("B70: what runs is answered", e.theirs(0), wrapperspb.String("waited"))
	})
}

// TestDrainingShutdown holds that handlers of a classic server learn of Shutdown, and that
// it waits for them; and that a classic client tells of its own.
func TestDrainingShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		server.Register("test", map[string]Method{"Until": func(ctx context.Context, _ func(any) error) (any, error) {
			<-DrainingFromContext(ctx)
			return wrapperspb.String("drained"), ctx.Err()
		}})
		a, b := memconn.Pipe(0)
		server.accept(t.Context(), b)
		client := NewClient(a)
		answer := new(wrapperspb.StringValue)
		called := make(chan error, 1)
		go func() { called <- client.Call(context.Background(), "test", "Until", wrapperspb.String(""), answer) }()
		synctest.Wait()
		wantDraining(t, "a client", client.Draining(), false)
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-called; err != nil || answer.Value != "drained" {
			t.Errorf("B70: %q, %v", answer.Value, err)
		}
		wantDraining(t, "the connection has ended", client.Draining(), true)
	})
}

// TestDrainingClient holds when a client tells that it is of no more use.
func TestDrainingClient(t *testing.T) {
	for what, f := range map[string]func(c *Client, nc net.Conn){
		"Close":    func(c *Client, _ net.Conn) { c.Close() },
		"the peer": func(_ *Client, nc net.Conn) { nc.Close() },
		"Shutdown": func(c *Client, _ net.Conn) { go c.Shutdown(context.Background()) },
		"ids": func(c *Client, _ net.Conn) {
			connOf(c).lastID = 1<<32 - 3
			go c.Call(context.Background(), "s", "m", wrapperspb.Bool(true), nil)
		},
		"a lost writer": func(c *Client, _ net.Conn) {
			connOf(c).nc.(*memconn.Conn).FailWrites(net.ErrClosed)
			go c.Call(context.Background(), "s", "m", wrapperspb.Bool(true), nil)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe(0)
				client := NewClient(a)
				s, err := client.NewStream(t.Context(), &StreamDesc{StreamingServer: true}, "test", "Stream", nil)
				if err != nil {
					t.Fatal(err)
				}
				draining := client.Draining()
				wantDraining(t, what, draining, false)
				f(client, b)
				wantDraining(t, what, draining, true)
				client.Close()
				s.RecvMsg(nil)
				b.Close()
				time.Sleep(2 * lostPeerGrace)
			})
		})
	}
	wantClosed := new(Client).Draining()
	select {
	case <-wantClosed:
	default:
		t.Error("B70: the zero client is closed")
	}
	if DrainingFromContext(t.Context()) != nil {
		t.Error("B70: a context that is no handler's")
	}
}

// TestDrainingDial holds that a client that reconnects tells of its own end only.
func TestDrainingDial(t *testing.T) {
	onDial(t, func(t *testing.T, d *dialTest) {
		draining := d.Client.Draining()
		d.current().close(net.ErrClosed)
		wantDraining(t, "a connection of many", draining, false)
		d.Client.Close()
		wantDraining(t, "Close", draining, true)
	})
}
