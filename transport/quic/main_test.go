// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/internal/libchantest"
	"github.com/containerd/ttrpc/internal/testkit"
	"github.com/containerd/ttrpc/libchan"
	"github.com/containerd/ttrpc/transport/internal/transporttest"
	"github.com/containerd/ttrpc/transport/quic"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() *authority {
	a := new(authority)
	signed := a.sign("authority")
	a.key = signed.PrivateKey.(*ecdsa.PrivateKey)
	a.certificate = signed.Leaf
	return a
}

// sign makes a certificate for a name and 127.0.0.1. The first one signs itself.
func (a *authority) sign(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{name, "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.certificate)
	return p
}

var (
	trusted = newAuthority()

	// These make a connection in a fraction of the time that ML-KEM takes under the race
	// detector.
	quick     = []tls.CurveID{tls.X25519}
	serverTLS = &tls.Config{Certificates: []tls.Certificate{trusted.sign("server")}, CurvePreferences: quick}
	clientTLS = &tls.Config{RootCAs: trusted.pool(), CurvePreferences: quick}
)

// listen listens on the loopback interface until the test ends.
func listen(t testing.TB, config quic.ListenConfig) *quic.Listener {
	t.Helper()
	if config.TLS == nil {
		config.TLS = serverTLS
	}
	l, err := config.ListenAddr("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// over is the transport under test.
var over = transporttest.Transport{HalfClose: true, Listen: func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	l := listen(t, quic.ListenConfig{})
	dialer := quic.Dialer{TLS: clientTLS}
	return l, func(ctx context.Context) (net.Conn, error) { return dialer.Dial(ctx, l.Addr().String()) }
}}

// These run beside the tests that wait for seconds.

func TestConns(t *testing.T) {
	t.Parallel()
	transporttest.Conns(t, over)
}

func TestCalls(t *testing.T) {
	t.Parallel()
	transporttest.Calls(t, over)
}

// TestChannels runs libchan's suite; with each codec only where there is time, as a conn knows
// nothing of codecs.
func TestChannels(t *testing.T) {
	t.Parallel()
	pair := libchantest.Over(func(t *testing.T) (client, server net.Conn) { return over.Pair(t) })
	if testkit.Times(t) > 1 {
		libchantest.Run(t, pair)
	} else {
		libchantest.RunCodec(t, pair, libchan.Msgpack)
	}
}
