// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

// serverName is what the certificates of servers are for.
const serverName = "server.test"

// tls returns what the ends of a way with TLS are made with: what the setup has, or what fits.
func (s Setup) tls(t testing.TB, protocol string) (server, client *tls.Config) {
	t.Helper()
	server, client = Certificates(t, protocol)
	if s.ServerTLS != nil {
		server = s.ServerTLS.Clone()
		server.NextProtos = []string{protocol}
	}
	if s.Demand {
		server.ClientAuth = tls.RequireAnyClientCert
	}
	if s.Protocol != "" {
		server.NextProtos = []string{s.Protocol}
	}
	return server, client
}

// Certificates returns a server's configuration with a certificate that is new, and a client's
// that trusts it and no other. Both speak the protocol.
func Certificates(t testing.TB, protocol string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{protocol},
	}
	client = &tls.Config{RootCAs: pool, ServerName: serverName, NextProtos: []string{protocol}}
	return server, client
}
