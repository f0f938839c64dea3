// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/containerd/ttrpc/internal/lossyudp"
	"github.com/containerd/ttrpc/transport/quic"
)

// NewQUICLink returns a link over QUIC on the loopback interface, with TLS as it must be.
func NewQUICLink(t testing.TB, s Setup) *Link {
	t.Helper()
	atServer, atClient := s.tls(t, "ttrpc")
	listener := listenQUIC(t, s, atServer)
	addr := listener.Addr()
	link := &Link{Listener: listener}
	if s.Slow {
		relay, err := lossyudp.New(addr, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { relay.Close() })
		addr = relay.Addr()
		link.stall = func() (resume func()) {
			relay.Cut(true)
			return func() { relay.Cut(false) }
		}
	}
	link.dial = func(ctx context.Context) (net.Conn, error) {
		dialer := quic.Dialer{TLS: atClient}
		if link.isCut() {
			dialer.HandshakeTimeout = time.Second // UDP does not tell that nobody is there
		}
		return dialer.Dial(ctx, addr.String())
	}
	t.Cleanup(link.Cut)
	if s.Refused {
		link.Cut()
	}
	return link
}

// listenQUIC returns a listener: one of quic-go's if it is to speak another protocol, which
// the package's own refuses.
func listenQUIC(t testing.TB, s Setup, config *tls.Config) *quic.Listener {
	t.Helper()
	const anyPort = "127.0.0.1:0"
	if s.Protocol == "" {
		listener, err := quic.ListenAddr(anyPort, config)
		if err != nil {
			t.Fatal(err)
		}
		return listener
	}
	listener, err := quicgo.ListenAddr(anyPort, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return quic.NewListener(listener)
}
