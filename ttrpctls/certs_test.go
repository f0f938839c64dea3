// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpctls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	template := newTemplate("authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	var der []byte
	der, a.key = a.sign(t, template)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate returns a signed certificate for name, as host and as user.
func (a *authority) certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	template := newTemplate(name)
	template.DNSNames = []string{name}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, key := a.sign(t, template)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pool returns what trusts the authority and nobody else.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign signs with the authority's key, or with the new one if that has none.
func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

// serverConfig is the configuration of a server that asks for certificates.
func (a *authority) serverConfig(t *testing.T) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.certificate(t, "server.test")},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.pool(),
	}
}

// clientConfig is the configuration of a client that has one.
func (a *authority) clientConfig(t *testing.T) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.certificate(t, "client.test")},
		RootCAs:      a.pool(),
		ServerName:   "server.test",
	}
}
