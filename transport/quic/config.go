// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// serverTLS returns the configuration of a server, or why it cannot be used.
func serverTLS(config *tls.Config) (*tls.Config, error) {
	switch {
	case config == nil:
		return nil, errors.New("there is no TLS configuration, and QUIC needs one with a certificate")
	case len(config.Certificates) == 0 && config.GetCertificate == nil && config.GetConfigForClient == nil:
		return nil, errors.New("the TLS configuration has no certificate")
	}
	c, err := ownTLS(config)
	if err != nil {
		return nil, err
	}
	if choose := config.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return ownTLS(chosen)
		}
	}
	return c, nil
}

// ownTLS returns a copy with the protocol of ALPN.
func ownTLS(config *tls.Config) (*tls.Config, error) {
	c := config.Clone()
	if c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS13 {
		return nil, errors.New("the TLS configuration's MaxVersion forbids TLS 1.3, which QUIC needs")
	}
	if len(c.NextProtos) > 0 && !slices.Equal(c.NextProtos, []string{protocol}) {
		return nil, fmt.Errorf("the TLS configuration's NextProtos are %q; leave them empty, for %q, or use NewListener and NewConn", c.NextProtos, protocol)
	}
	c.NextProtos = []string{protocol}
	return c, nil
}

// ownQUIC returns a copy of a configuration, with what is not set as this package has it.
func ownQUIC(config *quicgo.Config, keepAlive time.Duration) (*quicgo.Config, error) {
	c := new(quicgo.Config)
	if config != nil {
		c = config.Clone()
	}
	switch {
	case c.Allow0RTT:
		return nil, errors.New("the QUIC configuration has Allow0RTT, by which calls could be replayed")
	case c.MaxIncomingUniStreams != 0 && c.MaxIncomingUniStreams < streams:
		return nil, fmt.Errorf("the QUIC configuration's MaxIncomingUniStreams is %d; leave it 0, for %d", c.MaxIncomingUniStreams, streams)
	case c.MaxIdleTimeout < 0 || c.HandshakeIdleTimeout < 0:
		return nil, errors.New("a timeout of the QUIC configuration is negative")
	}
	c.MaxIncomingUniStreams = cmp.Or(c.MaxIncomingUniStreams, streams)
	c.MaxIncomingStreams = cmp.Or(c.MaxIncomingStreams, -1)
	c.MaxIdleTimeout = cmp.Or(c.MaxIdleTimeout, defaultIdle)
	c.HandshakeIdleTimeout = cmp.Or(c.HandshakeIdleTimeout, defaultHandshake)
	c.KeepAlivePeriod = max(cmp.Or(c.KeepAlivePeriod, keepAlive), 0)
	c.MaxStreamReceiveWindow = cmp.Or(c.MaxStreamReceiveWindow, maxWindow)
	c.MaxConnectionReceiveWindow = cmp.Or(c.MaxConnectionReceiveWindow, maxWindow)
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(info *quicgo.ClientInfo) (*quicgo.Config, error) {
			chosen, err := choose(info)
			if err != nil {
				return nil, err
			}
			return ownQUIC(chosen, keepAlive)
		}
	}
	return c, nil
}
