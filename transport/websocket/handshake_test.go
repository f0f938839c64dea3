// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/websocket"
)

// accept dials a listener and returns both ends, which end with the test.
func accept(t testing.TB, l *websocket.Listener, d *websocket.Dialer, url string) (client, server net.Conn) {
	t.Helper()
	client, err := d.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// exchange must get a few bytes through, in both directions.
func exchange(t testing.TB, a, b net.Conn) {
	t.Helper()
	for range 2 {
		if _, err := a.Write([]byte("hello")); err != nil {
			t.Fatalf("B96: %v", err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "hello" {
			t.Fatalf("B96: %q, %v", got, err)
		}
		a, b = b, a
	}
}

func TestRefusedHandshakes(t *testing.T) {
	closed := new(websocket.Listener)
	closed.Close()
	full := listen(t, &websocket.Listener{Backlog: 1})
	fullServer := serve(t, full)
	waiting, err := websocket.Dial(t.Context(), at(fullServer))
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	origin := func(o string) http.Header { return http.Header{"Origin": {o}} }
	for _, tt := range []struct {
		name   string
		h      http.Handler
		dialer websocket.Dialer
		code   int // 0: accepted
		text   string
	}{
		{"no origin", new(websocket.Listener), websocket.Dialer{}, 0, ""},
		{"a foreign origin", new(websocket.Listener), websocket.Dialer{Header: origin("https://evil.example")}, 403, `request Origin "evil.example" is not authorized`},
		{"a pattern", &websocket.Listener{Origins: []string{"*.example.com"}}, websocket.Dialer{Header: origin("http://www.example.com")}, 0, ""},
		{"not the pattern", &websocket.Listener{Origins: []string{"*.example.com"}}, websocket.Dialer{Header: origin("http://example.org")}, 403, "not authorized"},
		{"not its scheme", &websocket.Listener{Origins: []string{"https://example.com"}}, websocket.Dialer{Header: origin("http://example.com")}, 403, "not authorized"},
		{"any", &websocket.Listener{AnyOrigin: true}, websocket.Dialer{Header: origin("https://evil.example")}, 0, ""},
		{"a pattern that is none", &websocket.Listener{Origins: []string{"[a"}}, websocket.Dialer{}, 500, `the Listener's origin "[a": syntax error in pattern`},
		{"no subprotocol of ours", &websocket.Listener{Subprotocols: []string{"a", "b"}}, websocket.Dialer{Subprotocols: []string{"c"}}, 400, "the subprotocols that are spoken here are a, b"},
		{"no subprotocol at all", &websocket.Listener{Subprotocols: []string{"a"}}, websocket.Dialer{}, 400, "spoken here are a"},
		{"a closed listener", closed, websocket.Dialer{}, 503, "the listener is closed"},
		{"a full listener", full, websocket.Dialer{}, 503, "too many connections"},
		{"authentication", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are\nyou?", http.StatusUnauthorized) }), websocket.Dialer{}, 401, "who are you?"},
		{"a redirect", http.RedirectHandler("/elsewhere", http.StatusFound), websocket.Dialer{}, 302, "it redirects to /elsewhere"},
		{"no websocket", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a page") }), websocket.Dialer{}, 200, "a page"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if l, ok := tt.h.(*websocket.Listener); ok {
				defer l.Close()
			}
			s := serve(t, tt.h)
			c, err := tt.dialer.Dial(t.Context(), at(s))
			if err == nil {
				c.Close()
			}
			var status *transport.StatusError
			if tt.code == 0 && err != nil {
				t.Fatalf("B98: %v", err)
			}
			if tt.code != 0 && (!errors.As(err, &status) || status.Code != tt.code || !strings.Contains(status.Text, tt.text)) {
				t.Errorf("B98: %v, want status %d, %q", err, tt.code, tt.text)
			}
		})
	}
}

// A browser's request without an upgrade, as a proxy that knows none would pass it on.
func TestNoUpgrade(t *testing.T) {
	s := serve(t, listen(t, new(websocket.Listener)))
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Upgrade") != "websocket" || !strings.Contains(string(text), "may not pass the request on") {
		t.Errorf("B98: %s, %q", resp.Status, text)
	}
}

func TestDialMistakes(t *testing.T) {
	l := listen(t, new(websocket.Listener))
	s := serve(t, l)
	for _, tt := range []struct {
		url    string
		dialer websocket.Dialer
		want   string
	}{
		{"http://x/", websocket.Dialer{}, `websocket: the scheme of "http://x/" is neither ws nor wss`},
		{"ws:///x", websocket.Dialer{}, `websocket: there is no host in "ws:///x"`},
		{"ws://user:secret@x:y/", websocket.Dialer{}, `websocket: malformed URL: invalid port ":y" after host`},
		{at(s), websocket.Dialer{Header: http.Header{"sec-websocket-protocol": {"x"}}}, "websocket: the Dialer's Header has sec-websocket-protocol, which is the websocket's own"},
		{at(s), websocket.Dialer{Subprotocols: []string{"x", "y"}}, "the server speaks none of the subprotocols x, y"},
	} {
		c, err := tt.dialer.Dial(t.Context(), tt.url)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("B98: %v, want %s", err, tt.want)
		}
	}
}

// raw runs a server that does with a TCP connection what f does, and returns its address.
func raw(t testing.TB, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return "ws://" + l.Addr().String()
}

func TestDialBrokenServers(t *testing.T) {
	dialer := websocket.Dialer{HandshakeTimeout: 50 * time.Millisecond}
	silent := raw(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	if _, err := dialer.Dial(t.Context(), silent); !errors.Is(err, transport.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("B98: a server that says nothing: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	time.AfterFunc(time.Millisecond, func() { cancel(why) })
	if _, err := websocket.Dial(ctx, silent); !errors.Is(err, why) {
		t.Errorf("B98: a context that ends: %v", err)
	}
	for name, answer := range map[string]string{
		"malformed HTTP response":       "SSH-2.0-x\r\n\r\n",
		"invalid Sec-WebSocket-Accept":  "HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
		"does not contain websocket":    "HTTP/1.1 101 Fine\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		"EOF":                           "",
		"is 502 Bad Gateway: try later": "HTTP/1.1 502 x\r\nContent-Length: 9\r\n\r\ntry later",
	} {
		url := raw(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, answer)
		})
		if _, err := websocket.Dial(t.Context(), url); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("B98: %v, want %q", err, name)
		}
	}
}

type userKey struct{}

// TestAuthInfo has handlers learn who the peer is: from TLS, from the request, and from what
// middleware in front has found out.
func TestAuthInfo(t *testing.T) {
	l := listen(t, &websocket.Listener{Subprotocols: []string{"v2", "v1"}})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if password != "sesame" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		l.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	below := s.Client().Transport.(*http.Transport).Clone()
	below.TLSClientConfig.Certificates = s.TLS.Certificates
	dialer := &websocket.Dialer{Transport: below, Header: http.Header{"X-Test": {"yes"}}, Subprotocols: []string{"v1", "v2"}}
	client, server := accept(t, l, dialer, strings.Replace(at(s), "://", "://ali:sesame@", 1))
	for _, c := range []net.Conn{client, server} {
		if got := c.(interface{ Subprotocol() string }).Subprotocol(); got != "v2" {
			t.Errorf("B99: the subprotocol is %q, want v2", got)
		}
	}
	_, info, err := transport.Handshaker(nil).Handshake(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	auth := info.(*transport.AuthInfo)
	if len(auth.TLS.PeerCertificates) != 1 || auth.Header.Get("X-Test") != "yes" || auth.Context.Value(userKey{}) != "ali" {
		t.Errorf("B99: the server knows of its client %+v", auth)
	}
	mine := client.(transport.Conn).AuthInfo()
	if len(mine.TLS.PeerCertificates) != 1 || mine.Header.Get("Sec-WebSocket-Protocol") != "v2" {
		t.Errorf("B99: the client knows of its server %+v", mine)
	}
	exchange(t, client, server)
	client.Close()
	testkit.Within(t, "B99", func() {
		<-auth.Context.Done()
		<-mine.Context.Done()
	})
}

// TestHandshaker has a handler ask.
func TestHandshaker(t *testing.T) {
	l := listen(t, new(websocket.Listener))
	s := serve(t, l)
	asked := make(chan string, 1)
	transporttest.Serve(t, l, ttrpc.WithServerHandshaker(transport.Handshaker(nil)), ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, u ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, m ttrpc.Method) (any, error) {
			p, _ := ttrpc.PeerFromContext(ctx)
			asked <- p.AuthInfo.(*transport.AuthInfo).Header.Get("X-Test")
			return m(ctx, u)
		}))
	dialer := websocket.Dialer{Header: http.Header{"X-Test": {"yes"}}}
	c, err := dialer.Dial(t.Context(), at(s))
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Echo(t, transporttest.Connect(t, c), "hello")
	if got := <-asked; got != "yes" {
		t.Errorf("B99: the handler finds the header %q", got)
	}
}
