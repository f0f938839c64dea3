// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// Dial makes a connection with the zero [Dialer].
func Dial(ctx context.Context, addr string) (net.Conn, error) { return new(Dialer).Dial(ctx, addr) }

// A Dialer makes connections. The zero Dialer can be used. Its methods may be used
// concurrently.
type Dialer struct {
	// TLS has the certificates that are trusted, by default the system's, and those that are
	// shown. Its ServerName is by default the host that is dialled. Its NextProtos are
	// "ttrpc", or empty, which means that. It must not be changed later.
	TLS *tls.Config

	// QUIC says the rest. What is zero in it is as this package has it. A KeepAlivePeriod of
	// -1 means that the server is never asked whether it is alive.
	QUIC *quicgo.Config

	// Transport is what is dialled from; it is never closed. By default each connection has
	// a socket of its own, and no ids, so that its packets may come from other addresses as
	// often as they like. AddPath of quic-go's needs ids, and so a Transport.
	Transport *quicgo.Transport

	// HandshakeTimeout is how long all may take until the handshake is over: 10 s by default.
	HandshakeTimeout time.Duration
}

// Dial connects to a host and port; "quic:" or "quic://" may stand before them. It tries all
// addresses of the host. It returns within the HandshakeTimeout, and not later than ctx ends,
// which has no effect after that. The conn is a [*Conn].
func (d *Dialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	addr = strings.TrimPrefix(strings.TrimPrefix(addr, "quic:"), "//")
	c, err := d.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("quic: dial %s: %w", addr, err)
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, addr string) (*Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	tlsConfig := d.TLS
	if tlsConfig == nil {
		tlsConfig = new(tls.Config)
	}
	if tlsConfig, err = ownTLS(tlsConfig); err != nil {
		return nil, err
	}
	quicConfig, err := ownQUIC(d.QUIC, clientKeepAlive)
	if err != nil {
		return nil, err
	}
	tlsConfig.ServerName = cmp.Or(tlsConfig.ServerName, host, "localhost")
	timeout := cmp.Or(d.HandshakeTimeout, defaultHandshake)
	if d.QUIC == nil || d.QUIC.HandshakeIdleTimeout == 0 {
		quicConfig.HandshakeIdleTimeout = 2 * timeout // so that the context ends it
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w within %v", context.DeadlineExceeded, timeout))
	defer cancel()
	addrs, err := resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	return d.dialAny(ctx, addrs, tlsConfig, quicConfig)
}

// resolve returns the addresses of a host, the best one first.
func resolve(ctx context.Context, addr string) ([]*net.UDPAddr, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, cmp.Or(host, "localhost"))
	if err != nil {
		return nil, err
	}
	var addrs []*net.UDPAddr
	for _, ip := range ips {
		addrs = append(addrs, &net.UDPAddr{IP: ip.IP, Port: port, Zone: ip.Zone})
	}
	return addrs, nil
}

// dialAny tries one address after the other; each has its share of the time that is left.
func (d *Dialer) dialAny(ctx context.Context, addrs []*net.UDPAddr, tlsConfig *tls.Config, quicConfig *quicgo.Config) (*Conn, error) {
	var first error
	for i, addr := range addrs {
		deadline, _ := ctx.Deadline()
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		attempt, cancel := context.WithTimeoutCause(ctx, share, context.DeadlineExceeded)
		c, err := d.dialOne(attempt, addr, tlsConfig, quicConfig)
		if err != nil && attempt.Err() != nil {
			err = given(ctx)
		}
		cancel()
		if err == nil {
			return c, nil
		}
		first = cmp.Or(first, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// given returns why an attempt that has got no answer was given up.
func given(ctx context.Context) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return fmt.Errorf("%w: %w", ErrNoAnswer, context.DeadlineExceeded)
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrNoAnswer, cause)
	}
	return cause
}

func (d *Dialer) dialOne(ctx context.Context, addr *net.UDPAddr, tlsConfig *tls.Config, quicConfig *quicgo.Config) (*Conn, error) {
	if d.Transport != nil {
		connection, err := d.Transport.Dial(ctx, addr, tlsConfig, quicConfig)
		if err != nil {
			return nil, failedHandshake(err)
		}
		return NewConn(connection)
	}
	packets, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	s := newSocket(packets, true)
	s.ConnectionIDGenerator = noIDs{}
	connection, err := s.Dial(ctx, addr, tlsConfig, quicConfig)
	if err != nil {
		s.end()
		return nil, failedHandshake(err)
	}
	context.AfterFunc(connection.Context(), func() { time.AfterFunc(drain, s.end) })
	return newConn(connection, localAddr(packets, addr))
}

// noIDs has a connection without ids of its own, which its socket is known by. With ids, of
// which the server has four, quic-go moves to a new address only two or three times.
type noIDs struct{}

// GenerateConnectionID implements quic-go's ConnectionIDGenerator.
func (noIDs) GenerateConnectionID() (quicgo.ConnectionID, error) { return quicgo.ConnectionID{}, nil }

// ConnectionIDLen implements quic-go's ConnectionIDGenerator.
func (noIDs) ConnectionIDLen() int { return 0 }

// DialError returns an error with which quic-go has dialled an address as Dial returns it: it
// names the address, and errors.Is finds what it means, such as [ErrProtocol]. It is for those
// who dial with quic-go and give the connection to [NewConn].
func DialError(addr string, err error) error {
	var transport *quicgo.TransportError
	var silent *quicgo.HandshakeTimeoutError
	var idle *quicgo.IdleTimeoutError
	if errors.As(err, &transport) || errors.As(err, &silent) || errors.As(err, &idle) {
		err = failedHandshake(err)
	}
	return fmt.Errorf("quic: dial %s: %w", addr, err)
}

// failedHandshake explains an error of quic-go's: who is silent has not been heard of before.
func failedHandshake(err error) error {
	var idle *quicgo.IdleTimeoutError
	if errors.As(err, &idle) {
		return &reason{ErrNoAnswer, err}
	}
	return explain(err)
}

// localAddr returns the address by which packets reaches another. The socket has none, so
// that it goes on when the host gets another.
func localAddr(packets *net.UDPConn, remote *net.UDPAddr) net.Addr {
	local := *packets.LocalAddr().(*net.UDPAddr)
	if probe, err := net.DialUDP("udp", nil, remote); err == nil {
		local.IP = probe.LocalAddr().(*net.UDPAddr).IP
		_ = probe.Close()
	}
	return &local
}
