// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package transport has what the transports in the directories below it share: who the peer
// is, and why an HTTP server gave no connection.
//
// Each transport has a Listener, which is a net.Listener, and an http.Handler if it is one
// over HTTP, and a Dialer. Their conns are byte streams for ttrpc, or for anything else. docs/transports.md tells
// which one is for what, and how they get through proxies.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/containerd/ttrpc"
)

// AuthInfo is what is known of the peer of a connection. Behind an HTTP proxy all of it is the proxy's,
// except what that passes on. It must not be changed.
type AuthInfo struct {
	// TLS has the peer's certificates. It is nil on a connection without TLS.
	TLS *tls.ConnectionState

	// Header is that of the request, at the server, or of its answer, at the client. A
	// transport without HTTP has none.
	Header http.Header

	// Context is the request's, with what middleware in front of the Listener has put
	// into it. It ends with the connection. At the client it is that of Dial. Without HTTP
	// it is the connection's.
	Context context.Context
}

// A Conn is what the transports make.
type Conn interface {
	ttrpc.ByteStreamConn

	// AuthInfo returns who the peer is.
	AuthInfo() *AuthInfo
}

// Handshaker returns a handshaker for ttrpc.WithServerHandshaker or
// ttrpc.WithClientHandshaker, by which handlers find the *AuthInfo of a [Conn] in
// ttrpc.PeerFromContext. It says nothing to the peer. Conns that are none of this
// package's are left to other, so that one server can listen on a unix socket, too; if that
// is nil, they are refused.
func Handshaker(other ttrpc.Handshaker) ttrpc.Handshaker { return handshaker{other} }

type handshaker struct{ other ttrpc.Handshaker }

// Handshake implements ttrpc.Handshaker.
func (h handshaker) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if c, ok := conn.(Conn); ok {
		return conn, c.AuthInfo(), nil
	}
	if h.other == nil {
		return nil, nil, fmt.Errorf("transport: a %T has no AuthInfo", conn)
	}
	return h.other.Handshake(ctx, conn)
}

// A StatusError is the answer of an HTTP server that gives no connection, in the error of a
// Dial: of authentication in front of it, for example, of a proxy, or of a Listener.
type StatusError struct {
	Code int    // such as http.StatusUnauthorized
	Text string // the beginning of the answer's text, or where it redirects to
}

// Error implements error.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("the answer is %d %s", e.Code, http.StatusText(e.Code))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// ErrNoAnswer is in the error of a Dial that was connected, and waited in vain.
var ErrNoAnswer = errors.New("connected, but no answer came; something in between may hold back what it is to pass on")
