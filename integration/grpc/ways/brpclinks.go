// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/transport/websocket"
)

// BRPCElsewhere are the ways of brpc over what else ttrpc runs over, in both directions. Of a
// Setup they look at Register alone.
var BRPCElsewhere = []Way{
	{Name: "brpc, TCP", Open: overLink(openBRPC, tcpLink)},
	{Name: "brpc, TCP, server calls client", Open: overLink(openBRPCPeer, tcpLink)},
	{Name: "brpc, TLS", Open: overLink(openBRPC, tlsLink)},
	{Name: "brpc, TLS, server calls client", Open: overLink(openBRPCPeer, tlsLink)},
	{Name: "brpc, websocket", Open: overLink(openBRPC, websocketLink)},
	{Name: "brpc, websocket, server calls client", Open: overLink(openBRPCPeer, websocketLink)},
}

func overLink(open func(testing.TB, Setup, *Link) *Path, link func(testing.TB) *Link) func(testing.TB, Setup) *Path {
	return func(t testing.TB, s Setup) *Path { return open(t, s, link(t)) }
}

func tcpLink(t testing.TB) *Link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	link := &Link{Listener: l, dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(link.Cut)
	return link
}

func tlsLink(t testing.TB) *Link {
	t.Helper()
	atServer, atClient := Certificates(t, "ttrpc")
	link := tcpLink(t)
	addr := link.Addr().String()
	link.Listener = tls.NewListener(link.Listener, atServer)
	link.dial = func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: atClient}).DialContext(ctx, "tcp", addr)
	}
	return link
}

func websocketLink(t testing.TB) *Link {
	t.Helper()
	listener := new(websocket.Listener)
	site := httptest.NewServer(http.Handler(listener))
	link := &Link{Listener: listener, dial: func(ctx context.Context) (net.Conn, error) {
		return websocket.Dial(ctx, "ws"+strings.TrimPrefix(site.URL, "http"))
	}}
	t.Cleanup(func() {
		link.Cut()
		site.Close()
	})
	return link
}
