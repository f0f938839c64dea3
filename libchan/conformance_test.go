// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && go1.25

package libchan_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/libchantest"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// carriers are what a session is carried by here.
var carriers = []struct {
	name  string
	conns func(t *testing.T) (client, server net.Conn)
}{
	{"memory", func(*testing.T) (client, server net.Conn) { return memconn.Pipe(1000) }},
	{"unix", unixConns},
	{"TCP", func(t *testing.T) (client, server net.Conn) { return testkit.TCPPair(t) }},
	{"TLS", tlsConns},
}

func unixConns(t *testing.T) (client, server net.Conn) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func tlsConns(t *testing.T) (client, server net.Conn) {
	certificate, err := tlsCertificate()
	if err != nil {
		t.Fatal(err)
	}
	a, b := testkit.TCPPair(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true}
	return tls.Client(a, config), tls.Server(b, config)
}

// tlsCertificate returns one that vouches for nobody: the peer is known here.
var tlsCertificate = sync.OnceValues(func() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
})

// L14: the conformance suite, for each carrier and codec.
func TestConformance(t *testing.T) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			libchantest.Run(t, libchantest.Over(c.conns))
		})
	}
}

// L10: a session shares its connection with calls.
func TestConformanceBesideCalls(t *testing.T) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) { libchantest.Beside(t, c.conns) })
	}
}
