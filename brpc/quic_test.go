// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
	ttrpcquic "github.com/containerd/ttrpc/transport/quic"
)

// certificates are those of both ends, which sign themselves.
type certificates struct {
	server, client tls.Certificate
}

func newCertificates(t testing.TB) *certificates {
	t.Helper()
	return &certificates{server: signed(t, "server"), client: signed(t, "client")}
}

func signed(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func trusting(c tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Leaf)
	return pool
}

// protocol is any, as clarkmcc/brpc asks for none in particular.
const protocol = "greetings"

func (c *certificates) listen(t testing.TB, addr string) *quic.Listener {
	t.Helper()
	config := &tls.Config{
		Certificates: []tls.Certificate{c.server},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    trusting(c.client),
		NextProtos:   []string{protocol},
	}
	for limit := time.Now().Add(testkit.Hang); ; time.Sleep(time.Millisecond) {
		l, err := quic.ListenAddr(addr, config, nil)
		if err == nil {
			return l
		}
		// The socket of a listener at the same address lasts as long as its connections.
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.client}, RootCAs: trusting(c.server), NextProtos: []string{protocol}}
}

// serveQUIC has a server listen, until the test ends.
func serveQUIC(t testing.TB, server *testServer, certs *certificates) (addr string) {
	t.Helper()
	l := certs.listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the server has returned %v", err)
		}
		l.Close()
	})
	return l.Addr().String()
}

func dialQUIC(t testing.TB, addr string, certs *certificates, opts ...grpc.DialOption) *brpc.ClientConn {
	t.Helper()
	conn, err := brpc.DialContext(ctxOf(t), addr, certs.config(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// over returns a client's end on a conn.
func over(t testing.TB, nc net.Conn, opts ...grpc.DialOption) *brpc.ClientConn {
	t.Helper()
	conn, err := brpc.NewClientConn(nc, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// countingStats counts the connections that it is told of.
type countingStats struct{ conns atomic.Int64 }

func (s *countingStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	s.conns.Add(1)
	return ctx
}
func (s *countingStats) HandleConn(context.Context, stats.ConnStats)                     {}
func (s *countingStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (s *countingStats) HandleRPC(context.Context, stats.RPCStats)                       {}

// TestDialTells wants the error of Dial to say where it failed, and what that means.
func TestDialTells(t *testing.T) {
	certs := newCertificates(t)
	addr := serveQUIC(t, brpc.NewServer(testConfig{}), certs)
	config := certs.config()
	config.NextProtos = []string{"other"}
	_, err := brpc.DialContext(ctxOf(t), addr, config)
	if !errors.Is(err, ttrpcquic.ErrProtocol) || !strings.Contains(err.Error(), addr) {
		t.Errorf("no protocol in common: %v", err)
	}
	config = certs.config()
	config.RootCAs = x509.NewCertPool()
	var unknown x509.UnknownAuthorityError
	if _, err := brpc.DialContext(ctxOf(t), addr, config); !errors.As(err, &unknown) || !strings.Contains(err.Error(), addr) {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}
