// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package http2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/http2"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
)

// h2c returns a client for HTTP/2 without TLS.
func h2c(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// hides has only what an http.ResponseWriter must have, like middleware that knows no better.
type hides struct{ http.ResponseWriter }

// hiding is middleware in front of a handler.
func hiding(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(hides{w}, r) })
}

// TestListenerRefuses has requests that are none for a conn.
func TestListenerRefuses(t *testing.T) {
	const kind = "application/x-ttrpc-stream"
	closed := listen(t)
	closed.Close()
	impatient := &http2.Listener{HandshakeTimeout: soon}
	waits, over := io.Pipe()
	defer over.Close()
	for _, tt := range []struct {
		name    string
		handler http.Handler
		client  *http.Client
		method  string
		kind    string
		body    io.Reader
		code    int
		says    string
		header  string
	}{
		{name: "method", method: "GET", kind: kind, code: 405, says: "POST", header: "Allow"},
		{name: "type", kind: "text/plain", code: 415, says: kind, header: "Accept-Post"},
		{name: "HTTP/1.1", client: new(http.Client), kind: kind, code: 505, says: "the last hop speaks HTTP/1.1"},
		{name: "no greeting", kind: kind, body: strings.NewReader("STR"), code: 400, says: "ended after 3 of the greeting's 8 bytes"},
		{name: "another greeting", kind: kind, body: strings.NewReader("STREAM2\nand more"), code: 400, says: `"STREAM2\n"`},
		{name: "late greeting", handler: impatient, kind: kind, body: waits, code: 408, says: "0 of the greeting's 8 bytes came within 100ms"},
		{name: "closed", handler: closed, kind: kind, code: 503, says: "the listener is closed", header: "Retry-After"},
		{name: "middleware", handler: hiding(listen(t)), kind: kind, code: 500, says: "middleware in front of the connection hides"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.handler == nil {
				tt.handler = listen(t)
			}
			if tt.method == "" {
				tt.method = "POST"
			}
			if tt.client == nil {
				tt.client = h2c(t)
			}
			r, err := http.NewRequestWithContext(t.Context(), tt.method, serve(t, tt.handler).URL, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", tt.kind)
			answer, err := tt.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != tt.code || !strings.Contains(string(text), tt.says) {
				t.Errorf("B98: %d %q, %v, want %d and %q", answer.StatusCode, text, err, tt.code, tt.says)
			}
			if tt.header != "" && answer.Header.Get(tt.header) == "" {
				t.Errorf("B98: the answer has no %s", tt.header)
			}
			tt.client.CloseIdleConnections()
		})
	}
}

// TestHeaderSize has a server bound what it reads of a request.
func TestHeaderSize(t *testing.T) {
	s := httptest.NewUnstartedServer(listen(t))
	s.Config.ErrorLog = discard
	s.Config.MaxHeaderBytes = 8 << 10
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	// The client refuses what is too large if it has heard of the limit by then.
	for _, size := range []int{12 << 10, 1 << 20} {
		dialer := http2.Dialer{Header: http.Header{"X-Large": {strings.Repeat("x", size)}}}
		if _, err := dialer.Dial(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "the request is refused or cut off") {
			t.Errorf("B98: a header of %d bytes: %v", size, err)
		}
	}
}

// TestHalfOpen floods a listener with requests that say nothing.
func TestHalfOpen(t *testing.T) {
	const limit, flood = 4, 40
	l := &http2.Listener{Backlog: limit, HandshakeTimeout: 500 * time.Millisecond}
	defer l.Close()
	s := serve(t, l)
	client := h2c(t)
	codes := make(chan int, flood)
	var all sync.WaitGroup
	for range flood {
		waits, over := io.Pipe()
		defer over.Close()
		all.Go(func() {
			r, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL, waits)
			r.Header.Set("Content-Type", "application/x-ttrpc-stream")
			answer, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			codes <- answer.StatusCode
		})
	}
	// All but those within the limit are refused at once, and these when their time is over.
	got := make(map[int]int)
	for i := range flood {
		code := <-codes
		if got[code]++; code != 503 && i < flood-limit {
			t.Errorf("B98: number %d of the flood is answered with %d", i, code)
		}
	}
	all.Wait()
	if got[503] != flood-limit || got[408] != limit {
		t.Errorf("B98: the flood is answered with %v, want %d times 408 and else 503", got, limit)
	}
	// Afterwards there is room, for as many as may wait for Accept.
	for range limit {
		c, err := http2.Dial(t.Context(), s.URL)
		if err != nil {
			t.Fatalf("B98: after a flood: %v", err)
		}
		defer c.Close()
	}
	var status *transport.StatusError
	if _, err := http2.Dial(t.Context(), s.URL); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("B98: one more than may wait: %v, want status 503", err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c, err := http2.Dial(t.Context(), s.URL)
	if err != nil {
		t.Fatalf("B98: after Accept: %v", err)
	}
	c.Close()
}

type userKey struct{}

// authenticate is middleware: it knows one user's password, and tells handlers behind it who calls.
func authenticate(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if password != "secret" {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// TestAuthInfo has handlers ask who calls.
func TestAuthInfo(t *testing.T) {
	l := listen(t)
	s := httptest.NewUnstartedServer(authenticate(l))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	infos := make(chan *transport.AuthInfo, 1)
	transporttest.Serve(t, l, ttrpc.WithServerHandshaker(transport.Handshaker(nil)), ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			info, _ := peer.AuthInfo.(*transport.AuthInfo)
			infos <- info
			return method(ctx, unmarshal)
		}))
	tr := transportOf(s).Clone()
	tr.TLSClientConfig.Certificates = s.TLS.Certificates // whoever's
	dialer := http2.Dialer{Transport: tr, Header: http.Header{"X-Trace": {"42"}}}

	var status *transport.StatusError
	if _, err := dialer.Dial(t.Context(), s.URL); !errors.As(err, &status) || status.Code != 401 || status.Text != "wrong password" {
		t.Fatalf("B99: without a password: %v", err)
	}
	conn, err := dialer.Dial(t.Context(), strings.Replace(s.URL, "https://", "https://gopher:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	client := transporttest.Connect(t, conn, ttrpc.WithClientHandshaker(transport.Handshaker(nil)))
	transporttest.Echo(t, client, "hello")
	info := <-infos
	if info == nil || info.TLS == nil || len(info.TLS.PeerCertificates) != 1 || info.Header.Get("X-Trace") != "42" || info.Context.Value(userKey{}) != "gopher" {
		t.Errorf("B99: the handler knows %+v", info)
	}
	if far := conn.(transport.Conn).AuthInfo(); far.TLS == nil || len(far.TLS.PeerCertificates) == 0 || far.Header.Get("Date") == "" || far.Context.Err() != nil {
		t.Errorf("B99: the client knows %+v", far)
	}
	conn.Close()
	<-info.Context.Done()
}

// TestHandshaker has conns of other kinds beside those of transports.
func TestHandshaker(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, _, err := transport.Handshaker(nil).Handshake(t.Context(), a); err == nil || !strings.Contains(err.Error(), "*net.pipe") {
		t.Errorf("B99: a conn without AuthInfo: %v", err)
	}
	next := handshaker(func(_ context.Context, c net.Conn) (net.Conn, any, error) { return c, "somebody", nil })
	if c, info, err := transport.Handshaker(next).Handshake(t.Context(), a); c != a || info != "somebody" || err != nil {
		t.Errorf("B99: a conn that is left to another: %v, %v", info, err)
	}
}

type handshaker func(context.Context, net.Conn) (net.Conn, any, error)

func (h handshaker) Handshake(ctx context.Context, c net.Conn) (net.Conn, any, error) {
	return h(ctx, c)
}

// TestGone has either end vanish without a word.
func TestGone(t *testing.T) {
	for _, half := range []bool{false, true} {
		l := listen(t)
		s := serve(t, l)
		p := newProxy(t, s.Listener.Addr().String(), 32<<10)
		client, err := http2.Dial(t.Context(), "http://"+p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if half {
			client.(interface{ CloseWrite() error }).CloseWrite()
			if _, err := server.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("B97: Read after the far CloseWrite: %v", err)
			}
		}
		p.cut()
		testkit.Within(t, "B97", func() {
			if _, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("B97: the server has gone without a word, and Read returns %v", err)
			}
			var err error
			for err == nil {
				_, err = server.Write([]byte("are you there?"))
			}
			if _, err := server.Read(make([]byte, 1)); !half && (err == nil || err == io.EOF) {
				t.Errorf("B97: the client has gone without a word, and Read returns %v", err)
			}
		})
	}
}

// TestPings has a middle box fall silent: both ends find out by themselves.
func TestPings(t *testing.T) {
	l := listen(t)
	s := httptest.NewUnstartedServer(l)
	s.Config.ErrorLog = discard
	pings := &http.HTTP2Config{SendPingTimeout: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond}
	s.Config.HTTP2 = pings
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	p := newProxy(t, s.Listener.Addr().String(), 32<<10)
	dialer := http2.Dialer{Transport: &http.Transport{HTTP2: pings}}
	client, err := dialer.Dial(t.Context(), "http://"+p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p.silence()
	testkit.Within(t, "B97", func() {
		for _, c := range []net.Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("B97: behind a silent middle box, Read returns %v", err)
			}
		}
	})
}

// TestListenerClose has a listener close with conns in all stages.
func TestListenerClose(t *testing.T) {
	l := listen(t)
	s := serve(t, l)
	var clients [2]net.Conn
	for i := range clients {
		c, err := http2.Dial(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	waits := make(chan error)
	l.Close()
	go func() {
		_, err := l.Accept()
		waits <- err
	}()
	var op *net.OpError
	if err := <-waits; !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || op.Op != "accept" {
		t.Errorf("B98: Accept after Close: %v", err)
	}
	if _, err := clients[1].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("B98: the conn that was not accepted: %v, want EOF", err)
	}
	clients[0].Write([]byte("x"))
	if _, err := accepted.Read(make([]byte, 1)); err != nil {
		t.Errorf("B98: the conn that was accepted: %v", err)
	}
	var status *transport.StatusError
	if _, err := http2.Dial(t.Context(), s.URL); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("B98: Dial after Close: %v", err)
	}
}

// TestShutdown ends an HTTP server and the ttrpc server behind it in order: the call that is
// under way is answered.
func TestShutdown(t *testing.T) {
	l := listen(t)
	s := serve(t, l)
	calling, answer := make(chan struct{}), make(chan struct{})
	server := transporttest.Serve(t, l, ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			close(calling)
			<-answer
			return method(ctx, unmarshal)
		}))
	ending := make(chan struct{})
	s.Config.RegisterOnShutdown(func() {
		close(ending)
		server.Shutdown(context.Background())
	})
	conn, err := http2.Dial(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := transporttest.Connect(t, conn)
	called := make(chan error, 1)
	go func() {
		_, err := client.Echo(context.Background(), new(streaming.EchoPayload))
		called <- err
	}()
	<-calling
	shut := make(chan error, 1)
	go func() { shut <- s.Config.Shutdown(context.Background()) }()
	<-ending
	close(answer)
	testkit.Within(t, "B98", func() {
		if err := <-called; err != nil {
			t.Errorf("B98: the call that was under way: %v", err)
		}
		if err := <-shut; err != nil {
			t.Errorf("B98: http.Server.Shutdown: %v", err)
		}
	})
}

// TestCloseIsHeard has a server go on sending to a client that has closed.
func TestCloseIsHeard(t *testing.T) {
	onEach(t, func(t *testing.T, tr transporttest.Transport) {
		client, server := tr.Pair(t)
		client.Close()
		testkit.Within(t, "B97", func() {
			var err error
			for err == nil {
				_, err = server.Write(make([]byte, 64<<10))
			}
		})
	})
}

// returning serves a listener's requests one by one, and tells when one is over.
func returning(t testing.TB, l *http2.Listener) (url string, returned <-chan struct{}) {
	over := make(chan struct{}, 9)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.ServeHTTP(w, r)
		over <- struct{}{}
	}))
	return s.URL, over
}

// TestRequestEnds has all that may end a conn end its request, whatever the other end does.
func TestRequestEnds(t *testing.T) {
	l := &http2.Listener{Backlog: 1}
	defer l.Close()
	url, returned := returning(t, l)
	p := newProxy(t, strings.TrimPrefix(url, "http://"), 32<<10)
	dial := func() net.Conn {
		c, err := http2.Dial(t.Context(), "http://"+p.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	accept := func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	testkit.Within(t, "B97", func() {
		dial()
		accept().Close() // while the client holds its direction open
		<-returned

		client := dial()
		server := accept()
		client.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("B97: Read after the far CloseWrite: %v", err)
		}
		p.cut() // while the server writes nothing
		<-returned
		if _, err := server.Write([]byte("x")); err == nil {
			t.Error("B97: Write to who has gone without a word")
		}

		dial() // not accepted, and in the place of those that may wait
		p.cut()
		<-returned
		client = dial()
		client.Write([]byte("x"))
		if _, err := accept().Read(make([]byte, 1)); err != nil {
			t.Errorf("B98: a conn that has gone was accepted: %v", err)
		}
	})
}

// TestLinger has an end close that could not send what was written before: the other one does
// not read.
func TestLinger(t *testing.T) {
	t.Parallel() // each waits five seconds
	for name, fromServer := range map[string]bool{"client": false, "server": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testLinger(t, fromServer)
		})
	}
}

func testLinger(t *testing.T, fromServer bool) {
	l := listen(t)
	url, returned := returning(t, l)
	client, err := http2.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	from, to := client, server
	if fromServer {
		from, to = server, client
	}
	for err == nil {
		from.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		_, err = from.Write(make([]byte, 64<<10))
	}
	from.Close()
	testkit.Within(t, "B97", func() {
		if fromServer {
			<-returned
		} else {
			<-server.(transport.Conn).AuthInfo().Context.Done()
		}
		if n, err := io.Copy(io.Discard, to); err == nil {
			t.Errorf("B97: %d bytes and then the end came from who has given up", n)
		}
		to.Close()
		if !fromServer {
			<-returned
		}
	})
}
