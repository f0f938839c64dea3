// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/websocket"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// serve runs an HTTP server until the test ends.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// listen makes a listener's conns end with the test.
func listen(t testing.TB, l *websocket.Listener) *websocket.Listener {
	t.Cleanup(func() { l.Close() })
	return l
}

// at returns the URL of a test server's websockets.
func at(s *httptest.Server) string { return "ws" + strings.TrimPrefix(s.URL, "http") }

var (
	plain = transporttest.Transport{Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t, new(websocket.Listener))
		s := serve(t, l)
		return l, func(ctx context.Context) (net.Conn, error) { return websocket.Dial(ctx, at(s)) }
	}}
	secure = transporttest.Transport{Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t, new(websocket.Listener))
		s := httptest.NewTLSServer(l)
		t.Cleanup(s.Close)
		dialer := websocket.Dialer{Transport: s.Client().Transport.(*http.Transport)}
		return l, func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, at(s)) }
	}}
)

// onEach runs a test without TLS and with it.
func onEach(t *testing.T, test func(*testing.T, transporttest.Transport)) {
	t.Run("ws", func(t *testing.T) { test(t, plain) })
	t.Run("wss", func(t *testing.T) { test(t, secure) })
}

func TestConns(t *testing.T) { onEach(t, transporttest.Conns) }

func TestCalls(t *testing.T) { onEach(t, transporttest.Calls) }
