// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

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
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/transport"
	"github.com/containerd/ttrpc/ttrpctls"
)

// certificate returns one for "test", with URIs, and what trusts it.
func certificate(t *testing.T, uris ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// peerSeen returns whom a handler sees, as gRPC and as ttrpc tell it.
func peerSeen(t *testing.T, serverOpt ttrpc.ServerOpt, clientOpts ...ttrpc.ClientOpts) (*peer.Peer, *ttrpc.Peer) {
	t.Helper()
	seen, native := make(chan *peer.Peer, 1), make(chan *ttrpc.Peer, 1)
	server := newServer(t, ttrpc.WithServerExtensions(), serverOpt)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			p, _ := peer.FromContext(ctx)
			seen <- p
			n, _ := ttrpc.PeerFromContext(ctx)
			native <- n
			return new(testpb.SimpleResponse), nil
		},
	})
	cc := grpcttrpc.NewClientConn(connect(t, server, append(clientOpts, ttrpc.WithExtensions())...))
	if _, err := testpb.NewTestServiceClient(cc).UnaryCall(withDeadline(t), new(testpb.SimpleRequest)); err != nil {
		t.Fatal(err)
	}
	return <-seen, <-native
}

// TestPeerTLS holds that handlers find a peer's certificates where gRPC's own credentials put
// them.
func TestPeerTLS(t *testing.T) {
	for _, c := range []struct {
		uris []string
		want string // the SPIFFE ID
	}{
		{uris: []string{"spiffe://test/x"}, want: "spiffe://test/x"},
		{},
		{uris: []string{"spiffe://test/x", "spiffe://test/y"}},
		{uris: []string{"https://test/x"}},
		{uris: []string{"spiffe://test"}},
		{uris: []string{"spiffe:///x"}},
		{uris: []string{"spiffe://user@test/x"}},
		{uris: []string{"spiffe://test/" + strings.Repeat("x", 2040)}},
	} {
		cert, pool := certificate(t, c.uris...)
		serverTLS := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
		clientTLS := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: "test"}
		p, native := peerSeen(t, ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(serverTLS)),
			ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(clientTLS)))
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok || info.State.PeerCertificates[0].Subject.CommonName != "test" || info.SecurityLevel != credentials.PrivacyAndIntegrity {
			t.Fatalf("B125: the peer is %v", p)
		}
		id := ""
		if info.SPIFFEID != nil {
			id = info.SPIFFEID.String()
		}
		if id != c.want {
			t.Errorf("B125: the SPIFFE ID of %q is %q, not %q", c.uris, id, c.want)
		}
		if _, ok := native.AuthInfo.(tls.ConnectionState); !ok || p.Addr != native.Addr || p.LocalAddr != native.LocalAddr {
			t.Errorf("B125: the peer is %v, and to ttrpc %v", p, native)
		}
	}
}

// shaken is a handshaker that finds out what it is.
type shaken struct{ info any }

func (s shaken) Handshake(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return conn, s.info, nil
}

// An ownInfo is gRPC's already.
type ownInfo struct{ credentials.CommonAuthInfo }

func (ownInfo) AuthType() string { return "own" }

// TestPeerAuthInfo holds what gRPC's AuthInfo is for what handshakers find out.
func TestPeerAuthInfo(t *testing.T) {
	state := &tls.ConnectionState{ServerName: "name"}
	for name, c := range map[string]struct {
		info    any
		tls     bool
		wrapped bool
	}{
		"TLS, a pointer":          {info: state, tls: true},
		"a transport with TLS":    {info: &transport.AuthInfo{TLS: state}, tls: true},
		"a transport without":     {info: &transport.AuthInfo{}, wrapped: true},
		"a nil pointer":           {info: (*tls.ConnectionState)(nil), wrapped: true},
		"a transport that is nil": {info: (*transport.AuthInfo)(nil), wrapped: true},
		"a text":                  {info: "somebody", wrapped: true},
		"gRPC's":                  {info: ownInfo{}},
		"nothing":                 {},
	} {
		t.Run(name, func(t *testing.T) {
			p, native := peerSeen(t, ttrpc.WithServerHandshaker(shaken{c.info}))
			switch info := p.AuthInfo.(type) {
			case credentials.TLSInfo:
				if !c.tls || info.State.ServerName != "name" {
					t.Errorf("B125: it is %v", info)
				}
			case grpcttrpc.AuthInfo:
				if !c.wrapped || info.Info != c.info || info.Info != native.AuthInfo || info.AuthType() != "ttrpc" ||
					info.SecurityLevel != credentials.PrivacyAndIntegrity {
					t.Errorf("B125: it is %+v", info)
				}
			default:
				if c.tls || c.wrapped || info != c.info {
					t.Errorf("B125: it is %v", info)
				}
			}
		})
	}
}
