// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc/internal/memconn"
)

// A slowHandshaker waits for its outcome.
type slowHandshaker chan error

func (h slowHandshaker) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return conn, "friend", <-h
}

// TestClientPeer holds that Client.Peer waits for the handshake, and for nothing if there is none.
func TestClientPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe(0)
		defer b.Close()
		plain := NewClient(a)
		defer plain.Close()
		if p, err := plain.Peer(t.Context()); err != nil || p.Addr != a.RemoteAddr() || p.LocalAddr != a.LocalAddr() || p.AuthInfo != nil {
			t.Errorf("B112: without a handshake the peer is %v, %v", p, err)
		}
		if p, err := new(Client).Peer(t.Context()); err != ErrClosed {
			t.Errorf("B112: of the zero client the peer is %v, %v", p, err)
		}
	})
	for _, outcome := range []error{nil, errors.New("foe")} {
		synctest.Test(t, func(t *testing.T) { testPeerAfter(t, outcome) })
	}
}

func testPeerAfter(t *testing.T, outcome error) {
	a, b := memconn.Pipe(0)
	defer b.Close()
	shakes := make(slowHandshaker)
	c := NewClient(a, WithClientHandshaker(shakes), WithClientLogger(new(countingLogger)))
	defer c.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := c.Peer(over); err != context.Canceled {
		t.Errorf("B112: before the handshake the peer is %v, %v", p, err)
	}
	var peer *Peer
	done := make(chan error, 1)
	go func() {
		var err error
		peer, err = c.Peer(t.Context())
		done <- err
	}()
	wantCallsWaiting(t, "B112: the handshake", done)
	shakes <- outcome
	switch err := <-done; {
	case outcome == nil && (err != nil || peer.AuthInfo != "friend"):
		t.Errorf("B112: after the handshake the peer is %v, %v", peer, err)
	case outcome != nil && err != ErrClosed:
		t.Errorf("B112: after a handshake that failed the peer is %v, %v", peer, err)
	}
}
