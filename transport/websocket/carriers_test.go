// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/transport/http2"
	"github.com/containerd/ttrpc/transport/websocket"
)

// L10: the same program over memory, unix, TCP, TLS, HTTP/2 and websocket. Where it listens, and
// how it dials, is one line of each.
func TestOneProgram(t *testing.T) {
	pipe := newPipe()
	socket := filepath.Join(t.TempDir(), "s")
	trusted, mine := certificates(t)
	h2, ws := new(http2.Listener), new(websocket.Listener)
	web := httptest.NewUnstartedServer(mux(h2, ws))
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	defer web.Close()
	at := web.Listener.Addr().String()

	type listen = func() (net.Listener, error)
	type dial = func(ctx context.Context, addr string) (net.Conn, error)
	var plain net.Dialer
	for name, over := range map[string]struct {
		listen
		dial
	}{
		"memory": {func() (net.Listener, error) { return pipe, nil }, func(context.Context, string) (net.Conn, error) { return pipe.dial() }},
		"unix":   {func() (net.Listener, error) { return net.Listen("unix", socket) }, func(ctx context.Context, addr string) (net.Conn, error) { return plain.DialContext(ctx, "unix", addr) }},
		"TCP":    {func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, func(ctx context.Context, addr string) (net.Conn, error) { return plain.DialContext(ctx, "tcp", addr) }},
		"TLS": {func() (net.Listener, error) { return tls.Listen("tcp", "127.0.0.1:0", mine) }, func(ctx context.Context, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: trusted}).DialContext(ctx, "tcp", addr)
		}},
		"HTTP/2":    {func() (net.Listener, error) { return h2, nil }, func(ctx context.Context, _ string) (net.Conn, error) { return http2.Dial(ctx, "http://"+at+"/h2") }},
		"websocket": {func() (net.Listener, error) { return ws, nil }, func(ctx context.Context, _ string) (net.Conn, error) { return websocket.Dial(ctx, "ws://"+at+"/ws") }},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := over.listen()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			server := make(chan error)
			go func() { server <- serveUpper(l) }()
			got, err := askUpper(func() (net.Conn, error) { return over.dial(t.Context(), l.Addr().String()) })
			if got != "WHAT TRAVELS" || err != nil {
				t.Errorf("L10: got %q, %v", got, err)
			}
			if err := <-server; err != nil {
				t.Errorf("L10: the server: %v", err)
			}
		})
	}
}

// serveUpper is the program's server: it answers the calls of one session.
func serveUpper(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	s, err := libchan.NewServer(conn)
	if err != nil {
		return err
	}
	defer s.Close()
	requests, err := s.WaitReceiveChannel()
	if err != nil {
		return err
	}
	return libchan.Serve(context.Background(), requests, func(_ context.Context, text string) (string, error) {
		return strings.ToUpper(text), nil
	})
}

// askUpper is its client.
func askUpper(dial func() (net.Conn, error)) (string, error) {
	conn, err := dial()
	if err != nil {
		return "", err
	}
	s, err := libchan.NewClient(conn)
	if err != nil {
		return "", err
	}
	defer s.Close()
	requests, err := s.NewSendChannel()
	if err != nil {
		return "", err
	}
	answer, err := libchan.Call[string, string](context.Background(), requests, "what travels")
	if err != nil {
		return "", err
	}
	if err := requests.Close(); err != nil {
		return "", err
	}
	return answer, s.Shutdown(context.Background())
}

func mux(h2, ws http.Handler) *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("/h2", h2)
	m.Handle("/ws", ws)
	return m
}

// certificates returns what a TLS server shows, and a client trusts.
func certificates(t *testing.T) (trusted, mine *tls.Config) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	trusted = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trusted.ServerName = "example.com"
	return trusted, &tls.Config{Certificates: s.TLS.Certificates}
}

// A pipe is a listener in memory.
type pipe struct{ conns chan net.Conn }

func newPipe() *pipe { return &pipe{make(chan net.Conn, 1)} }

func (p *pipe) dial() (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- far
	return near, nil
}

func (p *pipe) Accept() (net.Conn, error) { return <-p.conns, nil }
func (p *pipe) Close() error              { return nil }
func (p *pipe) Addr() net.Addr            { return &net.UnixAddr{Name: "memory"} }
