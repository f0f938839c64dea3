// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/http2"
)

// soon is a handshake timeout for what must reach it.
const soon = 100 * time.Millisecond

// raw serves connections that do not speak HTTP as net/http does, until the test ends.
func raw(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			go serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// answer is a server's that answers each request so, as soon as it has come.
func answer(code int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) })
}

// TestRefusals dials what gives no connection.
func TestRefusals(t *testing.T) {
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	http1 := func(c net.Conn) {
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	redirect := http.RedirectHandler("https://elsewhere.example/", http.StatusFound)
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "no \x1bupstream\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	stalled := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ttrpc-stream")
		io.WriteString(w, "STRE")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	other := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ttrpc-stream")
		io.WriteString(w, "STREAM2\n")
	})
	short := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ttrpc-stream")
		io.WriteString(w, "STR")
	})
	aborts := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, tt := range []struct {
		name string
		url  string
		is   error
		code int
		says string
	}{
		{name: "authentication", url: serve(t, answer(401, "who are you?")).URL, code: 401, says: "401 Unauthorized: who are you?"},
		{name: "forbidden", url: serve(t, answer(403, strings.Repeat("no", 1000))).URL, code: 403, says: "nonono"},
		{name: "gateway that trickles", url: serve(t, slow).URL, code: 502, says: "502 Bad Gateway: no upstream"},
		{name: "redirect", url: serve(t, redirect).URL, code: 302, says: "it redirects to https://elsewhere.example/"},
		{name: "another site", url: serve(t, answer(200, "<html>")).URL, says: `of type "text/plain; charset=utf-8", not application/x-ttrpc-stream`},
		{name: "another version", url: serve(t, other).URL, says: `"STREAM2\n"`},
		{name: "short greeting", url: serve(t, short).URL, is: io.ErrUnexpectedEOF, says: "3 of the greeting's 8 bytes came"},
		{name: "stalled greeting", url: serve(t, stalled).URL, is: transport.ErrNoAnswer, says: "within 100ms"},
		{name: "cut off", url: serve(t, aborts).URL, says: "the request is refused or cut off"},
		{name: "HTTP/1.1", url: httptestServer(t, answer(200, "")).URL, is: http2.ErrNotHTTP2},
		{name: "HTTP/1.1 with status 200", url: "http://" + raw(t, http1), is: http2.ErrNotHTTP2},
		{name: "ends at once", url: "http://" + raw(t, func(c net.Conn) { c.Close() }), is: http2.ErrNotHTTP2},
		{name: "silence", url: "http://" + raw(t, silent), is: transport.ErrNoAnswer, says: "within 100ms"},
		{name: "TLS with silence", url: "https://" + raw(t, silent), is: context.DeadlineExceeded},
		{name: "TLS without TLS", url: "https://" + raw(t, http1), says: "first record does not look like a TLS handshake"},
		{name: "nobody", url: "http://127.0.0.1:1", says: "connection refused"},
		{name: "scheme", url: "ws://127.0.0.1", says: `scheme of "ws://127.0.0.1" is neither http nor https`},
		{name: "no host", url: "http:///path", says: "there is no host"},
		{name: "no URL", url: "http://\x00", says: "invalid control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialer := http2.Dialer{HandshakeTimeout: soon}
			if tt.is == nil {
				dialer.HandshakeTimeout = 0 // which a slow machine might reach
			}
			if tt.code == 502 {
				dialer.HandshakeTimeout = time.Second
			}
			_, err := dialer.Dial(t.Context(), tt.url)
			if err == nil {
				t.Fatal("B98: there is a conn")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("B98: %v, want one that is %v", err, tt.is)
			}
			var status *transport.StatusError
			if errors.As(err, &status); (status != nil) != (tt.code != 0) || (status != nil && status.Code != tt.code) {
				t.Errorf("B98: %v, want status %d", err, tt.code)
			}
			if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("B98: %q does not say %q", err, tt.says)
			}
		})
	}
}

// httptestServer runs one that speaks HTTP/1.1 alone.
func httptestServer(t testing.TB, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// TestRefusalsTLS dials servers with TLS that do not speak HTTP/2.
func TestRefusalsTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(listen(t))
	s.Config.ErrorLog = discard
	s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	t.Cleanup(s.Close)
	noALPN := httptest.NewUnstartedServer(nil)
	noALPN.Config.ErrorLog = discard
	noALPN.StartTLS()
	t.Cleanup(noALPN.Close)
	bare := "https://" + raw(t, func(c net.Conn) {
		tc := tls.Server(c, &tls.Config{Certificates: noALPN.TLS.Certificates})
		io.Copy(io.Discard, tc)
	})
	for name, url := range map[string]string{"http/1.1": s.URL, "without ALPN": bare} {
		dialer := http2.Dialer{Transport: transportOf(s)}
		if name == "without ALPN" {
			dialer.Transport = transportOf(noALPN)
		}
		if _, err := dialer.Dial(t.Context(), url); !errors.Is(err, http2.ErrNotHTTP2) {
			t.Errorf("B98: %s: %v, want %v", name, err, http2.ErrNotHTTP2)
		}
	}
	if _, err := http2.Dial(t.Context(), bare); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("B98: a certificate nobody has signed: %v", err)
	}
}

// TestDialContext has the context of Dial end before and after it returns.
func TestDialContext(t *testing.T) {
	silent := "http://" + raw(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	why := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if _, err := http2.Dial(ctx, silent); !errors.Is(err, why) {
		t.Errorf("B98: Dial whose context ends: %v", err)
	}
	l := listen(t)
	s := serve(t, l)
	if _, err := http2.Dial(ctx, s.URL); !errors.Is(err, why) {
		t.Errorf("B98: Dial whose context has ended: %v", err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	client, err := http2.Dial(ctx, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cancel(why)
	client.Write([]byte("still there"))
	got := make([]byte, 11)
	if _, err := io.ReadFull(server, got); err != nil {
		t.Errorf("B98: the end of Dial's context ends the conn: %v", err)
	}
}
