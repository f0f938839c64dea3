// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	quicgo "github.com/quic-go/quic-go"
)

// A ListenConfig says how to listen. Its methods may be used concurrently.
type ListenConfig struct {
	// TLS needs a certificate. Its NextProtos are "ttrpc", or empty, which means that. With
	// its ClientAuth it asks for certificates of clients. It must not be changed later.
	TLS *tls.Config

	// QUIC says the rest. What is zero in it is as this package has it. A KeepAlivePeriod of
	// -1 means that no client is asked whether it is alive.
	QUIC *quicgo.Config
}

// ListenAddr listens at an address of UDP, such as "host:7443" or ":0".
func ListenAddr(addr string, config *tls.Config) (*Listener, error) {
	return (&ListenConfig{TLS: config}).ListenAddr(addr)
}

// ListenAddr listens at an address of UDP, such as "host:7443" or ":0".
func (c *ListenConfig) ListenAddr(addr string) (*Listener, error) {
	tlsConfig, quicConfig, err := c.own()
	if err != nil {
		return nil, failedListen(err)
	}
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	return listenOn(newSocket(conn, true), tlsConfig, quicConfig)
}

// Listen listens on a conn, which nobody else may use before the listener is closed and the
// conns that it has accepted have ended. It is not closed.
func (c *ListenConfig) Listen(conn net.PacketConn) (*Listener, error) {
	tlsConfig, quicConfig, err := c.own()
	if err != nil {
		return nil, failedListen(err)
	}
	return listenOn(newSocket(conn, false), tlsConfig, quicConfig)
}

// ListenTransport listens on a Transport of quic-go, which may be dialled from, too. It is not
// closed. Its own fields bound those that shake hands.
func (c *ListenConfig) ListenTransport(transport *quicgo.Transport) (*Listener, error) {
	tlsConfig, quicConfig, err := c.own()
	if err != nil {
		return nil, failedListen(err)
	}
	l, err := transport.Listen(tlsConfig, quicConfig)
	if err != nil {
		return nil, failedListen(err)
	}
	return NewListener(l), nil
}

func (c *ListenConfig) own() (*tls.Config, *quicgo.Config, error) {
	tlsConfig, err := serverTLS(c.TLS)
	if err != nil {
		return nil, nil, err
	}
	quicConfig, err := ownQUIC(c.QUIC, serverKeepAlive)
	return tlsConfig, quicConfig, err
}

func failedListen(err error) error {
	return &net.OpError{Op: "listen", Net: network, Err: err}
}

func listenOn(s *socket, tlsConfig *tls.Config, quicConfig *quicgo.Config) (*Listener, error) {
	q, err := s.Listen(tlsConfig, quicConfig)
	if err != nil {
		s.close()
		return nil, failedListen(err)
	}
	l := NewListener(q)
	l.socket = s
	return l, nil
}

// A Listener is a net.Listener whose conns are each a [*Conn]. Its methods may be used
// concurrently.
type Listener struct {
	quic   *quicgo.Listener
	socket *socket // nil if it is not this package's
	closed atomic.Bool
}

// NewListener returns a listener that makes conns of all that a listener of quic-go accepts,
// whatever protocol (ALPN) they speak. Close closes that.
func NewListener(listener *quicgo.Listener) *Listener { return &Listener{quic: listener} }

// Accept implements net.Listener. It returns conns whose handshake has succeeded.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		connection, err := l.quic.Accept(context.Background())
		switch {
		case err != nil:
			return nil, &net.OpError{Op: "accept", Net: network, Addr: l.Addr(), Err: err}
		case l.closed.Load():
			l.refuse(connection)
			continue
		}
		if t, ok := connection.Context().Value(ticketKey{}).(*ticket); ok {
			t.accept()
		}
		if connection.Context().Err() != nil {
			continue // it has ended meanwhile
		}
		if c, err := NewConn(connection); err == nil {
			return c, nil
		}
	}
}

// Close implements net.Listener. Conns that were accepted live on.
func (l *Listener) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	err := l.quic.Close()
	for { // until there are none that wait
		connection, err := l.quic.Accept(context.Background())
		if err != nil {
			break
		}
		l.refuse(connection)
	}
	if l.socket != nil {
		l.socket.close()
	}
	return err
}

func (l *Listener) refuse(connection *quicgo.Conn) {
	_ = connection.CloseWithError(CodeNotAccepted, "the listener is closed")
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.quic.Addr() }
