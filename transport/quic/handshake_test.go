// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/quic"
)

// accept returns what a listener accepts, which is closed when the test ends.
func accept(t testing.TB, l net.Listener) *quic.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*quic.Conn)
}

// dial returns a conn that is closed when the test ends.
func dial(t testing.TB, d quic.Dialer, to net.Addr) *quic.Conn {
	t.Helper()
	if d.TLS == nil {
		d.TLS = clientTLS
	}
	c, err := d.Dial(context.Background(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		select { // while the path is there, or it takes all of its five seconds
		case <-c.(*quic.Conn).AuthInfo().Context.Done():
		case <-time.After(500 * time.Millisecond):
		}
	})
	return c.(*quic.Conn)
}

// wantError requires an error that is what is wanted, and says a text.
func wantError(t testing.TB, rule string, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || errors.Is(err, net.ErrClosed) {
		t.Errorf("%s: %v, want %v with %q", rule, err, want, text)
	}
}

func TestBadConfigurations(t *testing.T) {
	certificates := serverTLS.Certificates
	for want, config := range map[string]quic.ListenConfig{
		"no TLS configuration":  {},
		"has no certificate":    {TLS: new(tls.Config)},
		"forbids TLS 1.3":       {TLS: &tls.Config{Certificates: certificates, MaxVersion: tls.VersionTLS12}},
		`NextProtos are ["h3"]`: {TLS: &tls.Config{Certificates: certificates, NextProtos: []string{"h3"}}},
		`["ttrpc" "h3"]`:        {TLS: &tls.Config{Certificates: certificates, NextProtos: []string{"ttrpc", "h3"}}},
		"Allow0RTT":             {TLS: serverTLS, QUIC: &quicgo.Config{Allow0RTT: true}},
		"MaxIncomingUniStreams": {TLS: serverTLS, QUIC: &quicgo.Config{MaxIncomingUniStreams: 1}},
		"negative":              {TLS: serverTLS, QUIC: &quicgo.Config{MaxIdleTimeout: -1}},
		"invalid QUIC version":  {TLS: serverTLS, QUIC: &quicgo.Config{Versions: []quicgo.Version{7}}},
	} {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		transport := &quicgo.Transport{Conn: packets}
		for _, listen := range []func() (*quic.Listener, error){
			func() (*quic.Listener, error) { return config.ListenAddr("127.0.0.1:0") },
			func() (*quic.Listener, error) { return config.ListenTransport(transport) },
			func() (*quic.Listener, error) { return config.Listen(packets) },
		} {
			l, err := listen()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("B98: listening with what is wrong: %v, want %q", err, want)
			}
			if l != nil {
				t.Errorf("B98: a Listener beside the error %v", err)
			}
		}
		transport.Close()
		packets.Close()
	}
	for want, d := range map[string]quic.Dialer{
		"forbids TLS 1.3":      {TLS: &tls.Config{MaxVersion: tls.VersionTLS12}},
		"NextProtos":           {TLS: &tls.Config{NextProtos: []string{"h2"}}},
		"Allow0RTT":            {QUIC: &quicgo.Config{Allow0RTT: true}},
		"invalid QUIC version": {QUIC: &quicgo.Config{Versions: []quicgo.Version{7}}},
	} {
		if _, err := d.Dial(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("B98: dialling with what is wrong: %v, want %q", err, want)
		}
	}
	for _, addr := range []string{"127.0.0.1", "quic://127.0.0.1", "127.0.0.1:none", "a b:1", ""} {
		if c, err := quic.Dial(t.Context(), addr); err == nil {
			t.Errorf("B98: dialled %q: %v", addr, c)
		}
	}
	if l, err := quic.ListenAddr("127.0.0.1:none", serverTLS); err == nil || l != nil {
		t.Errorf("B98: listening at no address: %v, %v", l, err)
	}
}

// TestConfigurationsStay holds that what users give is not changed.
func TestConfigurationsStay(t *testing.T) {
	mine, theirs := new(quicgo.Config), new(quicgo.Config)
	l := listen(t, quic.ListenConfig{QUIC: mine})
	dial(t, quic.Dialer{QUIC: theirs}, l.Addr())
	if mine.MaxIdleTimeout != 0 || theirs.MaxIncomingUniStreams != 0 || serverTLS.NextProtos != nil || clientTLS.NextProtos != nil {
		t.Errorf("B98: changed to %+v, %+v, %q, %q", mine, theirs, serverTLS.NextProtos, clientTLS.NextProtos)
	}
}

// TestNobodyAnswers dials where nobody listens.
func TestNobodyAnswers(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	own, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	shared := &quicgo.Transport{Conn: own}
	defer shared.Close()
	for name, d := range map[string]quic.Dialer{"own": {TLS: clientTLS}, "shared": {TLS: clientTLS, Transport: shared}} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = d.Dial(ctx, packets.LocalAddr().String())
		cancel()
		wantError(t, "B98: "+name, err, quic.ErrNoAnswer, "")
		wantError(t, "B98: "+name, err, context.DeadlineExceeded, packets.LocalAddr().String())

		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("not wanted any more")
		time.AfterFunc(20*time.Millisecond, func() { stop(why) })
		_, err = d.Dial(ctx, packets.LocalAddr().String())
		wantError(t, "B98: "+name, err, why, "")

		d.HandshakeTimeout = 50 * time.Millisecond
		_, err = d.Dial(t.Context(), packets.LocalAddr().String())
		wantError(t, "B98: "+name, err, quic.ErrNoAnswer, "within 50ms")
	}
	d := quic.Dialer{TLS: clientTLS, QUIC: &quicgo.Config{HandshakeIdleTimeout: 30 * time.Millisecond}}
	_, err = d.Dial(t.Context(), packets.LocalAddr().String())
	wantError(t, "B98: quic-go's own timeout", err, quic.ErrNoAnswer, "")
}

// TestServerRefused has a client that does not trust the server.
func TestServerRefused(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	_, err := quic.Dial(t.Context(), l.Addr().String()) // which trusts the system's authorities
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("B98: a certificate of an unknown authority: %v", err)
	}
	d := quic.Dialer{TLS: &tls.Config{RootCAs: trusted.pool(), ServerName: "elsewhere.example"}}
	var name x509.HostnameError
	if _, err := d.Dial(t.Context(), l.Addr().String()); !errors.As(err, &name) {
		t.Errorf("B98: a certificate of another name: %v", err)
	}
	d.TLS = clientTLS
	c, err := d.Dial(t.Context(), strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatalf("B98: by a name that the certificate has: %v", err)
	}
	c.Close()
	accepted(t, l, c)
}

// accepted requires that a conn is the first that the listener accepts: handshakes that fail are
// no business of Accept.
func accepted(t testing.TB, l net.Listener, c net.Conn) {
	t.Helper()
	if s := accept(t, l); s.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("B98: accepted %v, want %v", s.RemoteAddr(), c.LocalAddr())
	}
}

// TestClientRefused has clients whose certificate the server does not want. They learn it after
// their own handshake.
func TestClientRefused(t *testing.T) {
	config := serverTLS.Clone()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, trusted.pool()
	l := listen(t, quic.ListenConfig{TLS: config})
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "a stranger's": {newAuthority().sign("stranger")}} {
		own := clientTLS.Clone()
		own.Certificates = certificates
		if certificates != nil { // it would show none to who does not ask for its authority
			own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
		}
		c, err := (&quic.Dialer{TLS: own}).Dial(t.Context(), l.Addr().String())
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		wantError(t, "B98: "+name, err, quic.ErrCertificate, "tls:")
	}
	own := clientTLS.Clone()
	own.Certificates = []tls.Certificate{trusted.sign("a friend")}
	c := dial(t, quic.Dialer{TLS: own}, l.Addr())
	accepted(t, l, c)
}

// TestOtherProtocols has ends that agree on none.
func TestOtherProtocols(t *testing.T) {
	theirs := serverTLS.Clone()
	theirs.NextProtos = []string{"h3"}
	other, err := quicgo.ListenAddr("127.0.0.1:0", theirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = (&quic.Dialer{TLS: clientTLS}).Dial(t.Context(), other.Addr().String())
	wantError(t, "B98", err, quic.ErrProtocol, "no application protocol")

	l := listen(t, quic.ListenConfig{TLS: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverTLS, nil }}})
	own := clientTLS.Clone()
	own.ServerName, own.NextProtos = "localhost", []string{"h3"}
	var refused *quicgo.TransportError
	if _, err := quicgo.DialAddr(t.Context(), l.Addr().String(), own, nil); !errors.As(err, &refused) || refused.ErrorCode != 0x178 {
		t.Errorf("B98: a client of h3: %v", err)
	}
	c := dial(t, quic.Dialer{}, l.Addr())
	accepted(t, l, c)
	if got := c.AuthInfo().TLS.NegotiatedProtocol; got != "ttrpc" {
		t.Errorf("B98: the protocol is %q", got)
	}
}

// TestIdentity has handlers at both ends see the other one's certificate.
func TestIdentity(t *testing.T) {
	config := serverTLS.Clone()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, trusted.pool()
	l := listen(t, quic.ListenConfig{TLS: config})
	names := func() map[string]ttrpc.Method {
		return map[string]ttrpc.Method{"Name": func(ctx context.Context, _ func(any) error) (any, error) {
			peer, _ := ttrpc.PeerFromContext(ctx)
			info := peer.AuthInfo.(*transport.AuthInfo)
			return wrapperspb.String(info.TLS.PeerCertificates[0].Subject.CommonName + " at " + peer.Addr.String()), nil
		}}
	}
	ask := func(client *ttrpc.Client, name string, at net.Addr) {
		t.Helper()
		var got wrapperspb.StringValue
		want := name + " at " + at.String()
		if err := client.Call(t.Context(), "names", "Name", wrapperspb.String(""), &got); err != nil || got.Value != want {
			t.Errorf("B99: %q, %v, want %q", got.Value, err, want)
		}
	}
	newServer := func() *ttrpc.Server {
		server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(transport.Handshaker(nil)))
		if err != nil {
			t.Fatal(err)
		}
		server.Register("names", names())
		return server
	}
	server := newServer()
	served := testkit.WaitFor(func() { _ = server.Serve(context.Background(), l) })
	own := clientTLS.Clone()
	own.Certificates = []tls.Certificate{trusted.sign("Ada")}
	conn := dial(t, quic.Dialer{TLS: own}, l.Addr())
	client := ttrpc.NewClient(conn)
	ask(client, "Ada", conn.LocalAddr())
	client.Close()
	server.Close()
	<-served

	// Who dials serves, and writes nothing before it is asked.
	l = listen(t, quic.ListenConfig{TLS: config})
	conn = dial(t, quic.Dialer{TLS: own}, l.Addr())
	backward := newServer()
	served = testkit.WaitFor(func() { _ = backward.ServeConn(context.Background(), conn) })
	client = ttrpc.NewClient(accept(t, l))
	ask(client, "server", l.Addr())
	client.Close()
	backward.Close()
	<-served
}

// TestOwnListener makes conns of what a listener and a dialer of quic-go's have made, with a
// protocol of the program's.
func TestOwnListener(t *testing.T) {
	theirs := serverTLS.Clone()
	theirs.NextProtos = []string{"program/1"}
	q, err := quicgo.ListenAddr("127.0.0.1:0", theirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	own := clientTLS.Clone()
	own.ServerName, own.NextProtos = "localhost", theirs.NextProtos
	l := quic.NewListener(q)
	server := transporttest.Serve(t, l)
	for range 3 {
		connection, err := quicgo.DialAddr(t.Context(), l.Addr().String(), own, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := quic.NewConn(connection)
		if err != nil {
			t.Fatal(err)
		}
		if conn.QUIC() != connection {
			t.Error("B96: QUIC is another connection")
		}
		transporttest.Echo(t, transporttest.Connect(t, conn), "hello")
	}
	server.Close()
	closed := own.Clone()
	if _, err := quicgo.DialAddr(t.Context(), l.Addr().String(), closed, &quicgo.Config{HandshakeIdleTimeout: 50 * time.Millisecond}); err == nil {
		t.Error("B98: the listener of quic-go's is still open")
	}
}

// TestNoStreams has an end whose configuration permits none.
func TestNoStreams(t *testing.T) {
	l := listen(t, quic.ListenConfig{})
	own := clientTLS.Clone()
	own.ServerName, own.NextProtos = "localhost", []string{"ttrpc"}
	connection, err := quicgo.DialAddr(t.Context(), l.Addr().String(), own, &quicgo.Config{MaxIncomingUniStreams: -1})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, quic.Dialer{}, l.Addr())
	accepted(t, l, c)
	<-connection.Context().Done()
	var ended *quicgo.ApplicationError
	if err := context.Cause(connection.Context()); !errors.As(err, &ended) || ended.ErrorCode != 3 || !strings.Contains(ended.ErrorMessage, "streams that a conn needs") {
		t.Errorf("B98: a client that permits no streams is told %v", err)
	}
}

// TestSharedTransport listens on, and dials from, one socket of the program's.
func TestSharedTransport(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	shared := &quicgo.Transport{Conn: packets}
	defer shared.Close()
	l, err := (&quic.ListenConfig{TLS: serverTLS}).ListenTransport(shared)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, quic.Dialer{Transport: shared}, l.Addr())
	s := accept(t, l)
	if _, err := io.WriteString(c, "to itself"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 9)
	if _, err := io.ReadFull(s, got); string(got) != "to itself" {
		t.Errorf("B96: %q, %v", got, err)
	}
	c.Close()
	s.Close()
	<-c.AuthInfo().Context.Done()
	<-s.AuthInfo().Context.Done()
}
