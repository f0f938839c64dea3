// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/transport/http2"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// discard is a log for what is meant to fail.
var discard = log.New(io.Discard, "", 0)

// serve runs an HTTP server that speaks HTTP/2 without TLS until the test ends.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discard
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// serveTLS runs one with TLS.
func serveTLS(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// listen returns a listener that is closed when the test ends.
func listen(t testing.TB) *http2.Listener {
	l := new(http2.Listener)
	t.Cleanup(func() { l.Close() })
	return l
}

// transportOf returns what is below a test server's client.
func transportOf(s *httptest.Server) *http.Transport { return s.Client().Transport.(*http.Transport) }

var (
	plain = transporttest.Transport{HalfClose: true, Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t)
		s := serve(t, l)
		return l, func(ctx context.Context) (net.Conn, error) { return http2.Dial(ctx, s.URL) }
	}}
	secure = transporttest.Transport{HalfClose: true, Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t)
		s := serveTLS(t, l)
		dialer := http2.Dialer{Transport: transportOf(s)}
		return l, func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, s.URL) }
	}}
)

// onEach runs a test without TLS and with it.
func onEach(t *testing.T, test func(*testing.T, transporttest.Transport)) {
	t.Run("h2c", func(t *testing.T) { test(t, plain) })
	t.Run("tls", func(t *testing.T) { test(t, secure) })
}

func TestConns(t *testing.T) { onEach(t, transporttest.Conns) }

func TestCalls(t *testing.T) { onEach(t, transporttest.Calls) }
