// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ttrpctls has handshakers that put TLS under ttrpc. It is a package of
// its own so that programs without TLS do not link crypto/tls.
//
//	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(config)))
//	client := ttrpc.NewClient(conn, ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(config)))
//
// Both ends must use it: ttrpc has no way to ask for TLS on a connection.
//
// Connections are used as the true byte streams that they are (see
// ttrpc.ByteStreamConn), which asks for deadlines that work of the conn below TLS.
package ttrpctls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/containerd/ttrpc"
)

// ServerHandshaker returns a handshaker for ttrpc.WithServerHandshaker, which
// speaks TLS as a server does. config needs a certificate; with its ClientAuth
// it asks for those of clients. Handlers find the tls.ConnectionState as the
// AuthInfo of ttrpc.PeerFromContext.
//
// The handshaker does not change config, which must not be changed by others
// while it is in use. With a nil config every handshake fails.
func ServerHandshaker(config *tls.Config) ttrpc.Handshaker {
	return &handshaker{"server", config, tls.Server}
}

// ClientHandshaker returns a handshaker for ttrpc.WithClientHandshaker, which
// speaks TLS as a client does. config needs a ServerName, for the address of a
// unix socket names no host. Why a handshake failed is told by the Cause of
// the ttrpc.Client.
//
// The handshaker does not change config, which must not be changed by others
// while it is in use. With a nil config every handshake fails.
func ClientHandshaker(config *tls.Config) ttrpc.Handshaker {
	return &handshaker{"client", config, tls.Client}
}

// A handshaker is one side's.
type handshaker struct {
	side   string
	config *tls.Config
	wrap   func(net.Conn, *tls.Config) *tls.Conn
}

// Handshake implements ttrpc.Handshaker.
func (h *handshaker) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	if h.config == nil {
		return nil, nil, errors.New("ttrpctls: the " + h.side + " has no TLS configuration")
	}
	secure := h.wrap(conn, h.config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err() // and not that the conn is closed, which follows from it
		}
		return nil, nil, fmt.Errorf("ttrpctls: the %s's handshake failed: %w", h.side, err)
	}
	return byteStream{secure}, secure.ConnectionState(), nil
}

// A byteStream is a *tls.Conn that says that it is a ttrpc.ByteStreamConn.
type byteStream struct{ *tls.Conn }

// IsByteStream implements ttrpc.ByteStreamConn.
func (byteStream) IsByteStream() bool { return true }
