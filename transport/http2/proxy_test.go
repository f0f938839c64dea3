// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/http2"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

// A proxy is a middle box that passes on bytes, and can be broken.
type proxy struct {
	address string
	chunk   int // the most that is passed on at once

	mu     sync.Mutex
	conns  []net.Conn
	silent bool
}

func newProxy(t testing.TB, target string, chunk int) *proxy {
	p := &proxy{chunk: chunk}
	p.address = raw(t, func(near net.Conn) {
		far, err := net.Dial("tcp", target)
		if err != nil {
			near.Close()
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.mu.Unlock()
		go p.pass(far, near)
		p.pass(near, far)
	})
	t.Cleanup(p.cut)
	return p
}

// pass moves bytes until one side has ended, and then ends the other.
func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, p.chunk)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

// silence has the proxy take everything and pass on nothing.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// behind is what a transport is behind a proxy, which is given the server's address.
func behind(start func(t testing.TB, target string) (url string)) transporttest.Transport {
	return transporttest.Transport{HalfClose: true, OtherAddresses: true, Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		l := listen(t)
		at := start(t, serve(t, l).Listener.Addr().String())
		return l, func(ctx context.Context) (net.Conn, error) { return http2.Dial(ctx, at) }
	}}
}

// TestTrickle has a middle box that passes on a few bytes at a time.
func TestTrickle(t *testing.T) {
	tr := behind(func(t testing.TB, target string) string {
		p := newProxy(t, target, 7)
		return "http://" + p.address
	})
	l, dial := tr.Listen(t)
	transporttest.Serve(t, l)
	conn, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Echo(t, transporttest.Connect(t, conn), "a message that comes in pieces")
}

// TestBuffered has middle boxes that wait for the end of what they are to pass on.
func TestBuffered(t *testing.T) {
	pass := func(target string, change func(*http.Request)) http.Handler {
		tr := &http.Transport{Protocols: new(http.Protocols)}
		tr.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(tr.CloseIdleConnections)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, _ := url.Parse("http://" + target)
			out := r.Clone(r.Context())
			out.RequestURI, out.URL = "", u
			if change != nil {
				change(out)
			}
			answer, err := tr.RoundTrip(out)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer answer.Body.Close()
			all, _ := io.ReadAll(answer.Body)
			w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
			w.WriteHeader(answer.StatusCode)
			w.Write(all)
		})
	}
	holdsRequest := func(r *http.Request) { io.ReadAll(r.Body) }
	for name, change := range map[string]func(*http.Request){"request": holdsRequest, "answer": nil} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, pass(serve(t, listen(t)).Listener.Addr().String(), change))
			dialer := http2.Dialer{HandshakeTimeout: soon}
			if _, err := dialer.Dial(t.Context(), s.URL); !errors.Is(err, transport.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("B98: %v, want %v", err, transport.ErrNoAnswer)
			}
		})
	}
}

// reverse runs a reverse proxy, with authentication, and returns its URL with the password.
func reverse(t testing.TB, target string) string {
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	p.Transport, p.FlushInterval = tr, -1
	p.ErrorLog = discard
	s := serve(t, authenticate(p))
	return "http://gopher:secret@" + s.Listener.Addr().String()
}

// TestReverseProxy goes through net/http's own proxy.
func TestReverseProxy(t *testing.T) {
	t.Parallel()
	tr := behind(reverse)
	t.Run("conns", func(t *testing.T) { transporttest.Conns(t, tr) })
	t.Run("calls", func(t *testing.T) { transporttest.Calls(t, tr) })
	t.Run("libchan", func(t *testing.T) { sessions(t, tr) })
	t.Run("refused", func(t *testing.T) {
		s := httptest.NewUnstartedServer(nil)
		at := reverse(t, s.Listener.Addr().String())
		s.Listener.Close()
		var status *transport.StatusError
		if _, err := http2.Dial(t.Context(), at); !errors.As(err, &status) || status.Code != 502 {
			t.Errorf("B98: nobody behind the proxy: %v, want status 502", err)
		}
	})
	t.Run("upstream in HTTP/1.1", func(t *testing.T) {
		p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: serve(t, listen(t)).Listener.Addr().String()})
		p.ErrorLog = discard
		var status *transport.StatusError
		if _, err := http2.Dial(t.Context(), serve(t, p).URL); !errors.As(err, &status) || status.Code != 505 {
			t.Errorf("B98: a proxy that speaks HTTP/1.1 to the server: %v, want status 505", err)
		}
	})
	t.Run("cut", func(t *testing.T) {
		l := listen(t)
		p := newProxy(t, serve(t, l).Listener.Addr().String(), 32<<10)
		client, err := http2.Dial(t.Context(), reverse(t, p.address))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		p.cut()
		// This proxy tells it who writes, not who only waits: ttrpc.WithKeepalive writes.
		for err == nil {
			_, err = client.Write([]byte("are you there?"))
		}
		if _, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("B97: cut off behind the proxy, Read returns %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		l := listen(t)
		l.Close()
		at := reverse(t, serve(t, l).Listener.Addr().String())
		dialer := http2.Dialer{HandshakeTimeout: testkit.Hang}
		var status *transport.StatusError
		if _, err := dialer.Dial(t.Context(), at); !errors.As(err, &status) || status.Code != 503 {
			t.Errorf("B98: a closed listener behind the proxy: %v, want status 503", err)
		}
	})
}

// TestTunnel goes through a proxy of the client's, to a server with TLS.
func TestTunnel(t *testing.T) {
	l := listen(t)
	s := serveTLS(t, l)
	tunnelled := make(chan string, 1)
	p := httptestServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		tunnelled <- r.Host
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer near.Close()
		defer far.Close()
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(far, near)
		io.Copy(near, far)
	}))
	through := func(user *url.Userinfo) http2.Dialer {
		tr := transportOf(s).Clone()
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: p.Listener.Addr().String(), User: user})
		return http2.Dialer{Transport: tr}
	}
	refused, dialer := through(nil), through(url.User("gopher"))
	if _, err := refused.Dial(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("B98: a tunnel that is refused: %v", err)
	}
	transporttest.Serve(t, l)
	conn, err := dialer.Dial(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if host := <-tunnelled; host != s.Listener.Addr().String() {
		t.Errorf("B98: the tunnel goes to %s", host)
	}
	transporttest.Echo(t, transporttest.Connect(t, conn), "hello")
}
