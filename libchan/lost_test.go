// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// L6: when the connection of a client of Dial is lost, all that waits says that the session has
// ended, whatever notices it first.
func TestConnectionOfDialLost(t *testing.T) {
	for range 20 {
		within(t, func(t *testing.T) {
			begun := make(chan *Session, 1)
			server := newServer(t, ttrpc.WithServerExtensions())
			must(t, Register(server, WithHandler(func(s *Session) { begun <- s })))
			conns := make(chan net.Conn, 1)
			client, err := ttrpc.Dial("unix:memory", WithSessions(), ttrpc.WithDialer(ttrpc.Dialer{
				Dial: func(context.Context, string) (net.Conn, error) {
					a, b := memconn.Pipe(0)
					select {
					case conns <- a:
					default:
						return nil, errors.New("there was one")
					}
					go server.ServeConn(ctx, b)
					return a, nil
				},
			}))
			must(t, err)
			defer server.Close()
			defer client.Close()
			near, err := Over(client)
			must(t, err)
			out, in := top(t, near, <-begun)
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{S: s})
			must(t, got.S.Send("x"))
			receives(t, r, "x")
			result := make(chan error, 2)
			go func() { result <- r.Receive(new(string)) }()
			go func() { _, err := near.WaitReceiveChannel(); result <- err }()
			synctest.Wait()
			(<-conns).Close()
			for range 2 {
				if err := <-result; !errors.Is(err, ErrSessionEnded) {
					t.Errorf("L6: what waits returns %v, want ErrSessionEnded", err)
				}
			}
		})
	}
}
