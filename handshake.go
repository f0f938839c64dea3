// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// A Handshaker is asked about a connection before ttrpc is spoken on it.
//
// Handshake may talk to the peer. It returns the conn to use from then on,
// which is the one given to it or one that wraps it, and any value that tells
// who the peer is, which handlers find in their context ([PeerFromContext]).
// An error refuses the connection, which is then closed. (A server made with
// [WithServerExtensions] tells the client why, if the handshaker is one
// of this package's, which say nothing themselves: it is in [Client.Cause].) Handshake may run
// concurrently for different connections. The context ends when the handshake
// timeout passes; the conn is closed then as well, so that a Handshake that
// waits for the peer returns.
type Handshaker interface {
	Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error)
}

// A Peer is the other end of a connection.
type Peer struct {
	// Addr and LocalAddr are the connection's remote and local address. Either
	// may be nil, on connections that have none.
	Addr, LocalAddr net.Addr

	// AuthInfo is what the handshaker returned: a *PeerCredentials from
	// RequireSameUser and its kin, a *unix.Ucred from the UnixSocketRequire
	// functions, for example. It is nil without handshaker.
	AuthInfo any
}

type peerKey struct{}

// PeerFromContext returns the peer whose call a handler is running. The Peer
// is shared by all calls of the connection and must not be changed.
func PeerFromContext(ctx context.Context) (*Peer, bool) {
	peer, ok := ctx.Value(peerKey{}).(*Peer)
	return peer, ok
}

// connKey is that of the connection in the contexts of its handlers.
type connKey struct{}

// withPeer returns the context that those of a connection's handlers derive from.
func withPeer(ctx context.Context, c *conn, nc net.Conn, auth any) context.Context {
	peer := Peer{Addr: nc.RemoteAddr(), LocalAddr: nc.LocalAddr(), AuthInfo: auth}
	return &connContext{watched(ctx), c, peer}
}

// A connContext is what handlers' contexts derive from: Serve's, and what is known of the
// connection.
type connContext struct {
	context.Context
	conn *conn
	peer Peer
}

// Value implements context.Context.
func (x *connContext) Value(key any) any {
	switch key.(type) {
	case peerKey:
		return &x.peer
	case connKey:
		return x.conn
	}
	return x.Context.Value(key)
}

// String keeps fmt from reading the connection's fields, which others may be writing.
func (x *connContext) String() string { return "ttrpc connection" }

// shakeHands has the server shake hands on nc, and starts the connection, or closes it.
func (s *Server) shakeHands(ctx context.Context, c *conn, nc net.Conn) {
	shaken, auth, err := handshake(context.WithoutCancel(ctx), tellingHandshaker(c.cfg), nc, c.cfg.timeouts.Handshake)
	if err == nil {
		if err = s.shaken(c); err != nil {
			closeConn(shaken)
		}
	}
	if err != nil {
		switch c.why() { // else it is our own Close
		case errCrowdedOut: // of which the log was told
			traceRefused(c, errCrowdedOut)
		case nil:
			traceRefused(c, err)
			s.unshaken.tell(c.cfg.log.Error, "ttrpc: connection refused", "error", err)
		}
		c.close(err)
		return
	}
	c.base = withPeer(ctx, c, shaken, auth)
	c.start(shaken)
}

// handshake runs h for at most timeout. If it returns an error, conn is closed.
func handshake(ctx context.Context, h Handshaker, conn net.Conn, timeout time.Duration) (net.Conn, any, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	shaken, auth, err := h.Handshake(ctx, conn)
	if !stop() {
		err = ctx.Err() // and not that the conn was closed under h
	}
	if err == nil && shaken == nil {
		err = errors.New("the handshaker returned no connection")
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("ttrpc: handshake: %w", err)
	}
	return shaken, auth, nil
}
