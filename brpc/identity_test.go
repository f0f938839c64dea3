// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/brpc"
)

// oldKey is where clarkmcc/brpc looks for who calls.
const oldKey = "brpc-metadata-client-id"

// TestSpoofing has a client say that it is another one, in all the ways that the metadata of
// clarkmcc/brpc has room for.
func TestSpoofing(t *testing.T) {
	var server *testServer
	server, path := start(t, testConfig{}, callsBack(&server))
	victim, thief := dialUnix(t, path), dialUnix(t, path)
	serveBack(t, victim, named("victim "))
	serveBack(t, thief, named("thief "))
	const id = "5e0e2a4c-7a3b-4f5e-9c39-0d7a3f1c8e11"
	for _, md := range []metadata.MD{
		metadata.Pairs(oldKey, id),               // the first value
		metadata.Pairs(oldKey, "x", oldKey, id),  // the second
		metadata.Pairs(oldKey, "", oldKey, "id"), // an empty one
		{},
	} {
		ctx := metadata.NewOutgoingContext(ctxOf(t), md)
		for conn, want := range map[*brpc.ClientConn]string{victim: "victim 1", thief: "thief 1"} {
			r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, text("1"))
			if err != nil || body(r) != want {
				t.Errorf("B131: with metadata %v the answer is %q, %v, want %q", md, body(r), err, want)
			}
		}
	}
}

// TestForeignContexts asks for a client where there is no caller.
func TestForeignContexts(t *testing.T) {
	server, other := brpc.NewServer(testConfig{}), (*testServer)(nil)
	if _, err := server.ClientFromContext(context.Background()); err == nil {
		t.Error("B131: there is a client in a context of no call")
	}
	spoof := metadata.NewIncomingContext(context.Background(), metadata.Pairs(oldKey, "5e0e2a4c-7a3b-4f5e-9c39-0d7a3f1c8e11"))
	if _, err := brpc.ClientFromContext(spoof, testgrpc.NewTestServiceClient); err == nil {
		t.Error("B131: metadata make a client")
	}
	if _, ok := brpc.PeerInfo(spoof); ok {
		t.Error("B131: metadata make a peer")
	}
	// The call of another server's client is none of this one's.
	other, path := start(t, testConfig{}, &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		if _, err := server.ClientFromContext(ctx); err == nil {
			t.Error("B131: a server finds the clients of another")
		}
		_, err := other.ClientFromContext(ctx)
		return new(testgrpc.SimpleResponse), err
	}})
	if _, err := testgrpc.NewTestServiceClient(dialUnix(t, path)).UnaryCall(ctxOf(t), text("")); err != nil {
		t.Error(err)
	}
}

// TestPeerOfTLS has handlers see the certificates of the other end, at both ends.
func TestPeerOfTLS(t *testing.T) {
	certs := newCertificates(t)
	seen := make(chan string, 4)
	note := func(ctx context.Context) {
		p, ok := brpc.PeerInfo(ctx)
		if !ok {
			t.Error("B132: there is no peer")
			return
		}
		info := p.AuthInfo.(credentials.TLSInfo)
		seen <- p.Addr.Network() + " " + info.State.PeerCertificates[0].Subject.CommonName
		g, _ := peer.FromContext(ctx)
		if from, ok := g.AuthInfo.(credentials.TLSInfo); !ok || from.State.PeerCertificates[0] != info.State.PeerCertificates[0] {
			t.Errorf("B132: gRPC's AuthInfo is %T", g.AuthInfo)
		}
	}
	var server *testServer
	s := callsBack(&server)
	back := s.unary
	s.unary = func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		note(ctx)
		return back(ctx, r)
	}
	server = brpc.NewServer(testConfig{
		ClientServiceBuilder: testgrpc.NewTestServiceClient,
		Server:               grpc.NewServer(grpc.Creds(brpc.Credentials())),
	})
	testgrpc.RegisterTestServiceServer(server, s)
	conn := dialQUIC(t, serveQUIC(t, server, certs), certs)
	serveBack(t, conn, &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		note(ctx)
		return new(testgrpc.SimpleResponse), nil
	}})
	var callee peer.Peer
	if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""), grpc.Peer(&callee)); err != nil {
		t.Fatal(err)
	}
	if got := <-seen + ", " + <-seen; got != "udp client, udp server" {
		t.Errorf("B132: the peers are %s", got)
	}
	if name := callee.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Subject.CommonName; name != "server" {
		t.Errorf("B132: the callee is %s", name)
	}
}

// A token is a per-call credential that may travel only where nobody listens.
type token struct{}

func (token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "secret"}, nil
}
func (token) RequireTransportSecurity() bool { return true }

// TestTokens has credentials of calls travel over TLS and unix sockets, and not in the clear.
func TestTokens(t *testing.T) {
	certs := newCertificates(t)
	server, path := start(t, testConfig{}, &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		if md, _ := metadata.FromIncomingContext(ctx); len(md["authorization"]) != 1 {
			t.Error("B132: the token is missing")
		}
		return new(testgrpc.SimpleResponse), nil
	}})
	call := func(conn *brpc.ClientConn) error {
		_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""), grpc.PerRPCCredentials(token{}))
		return err
	}
	if err := call(dialUnix(t, path)); err != nil {
		t.Error("B132: over a unix socket:", err)
	}
	if err := call(dialQUIC(t, serveQUIC(t, server, certs), certs)); err != nil {
		t.Error("B132: over QUIC:", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.ServeListener(context.Background(), l)
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "B132", call(over(t, nc)), codes.Unauthenticated)
}

// TestUnixPeer has handlers see what a handshaker knows.
func TestUnixPeer(t *testing.T) {
	var seen any
	_, path := start(t, testConfig{Handshaker: ttrpc.UnixSocketRequireSameUser()}, &service{
		unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			p, _ := brpc.PeerInfo(ctx)
			seen = p.AuthInfo.(brpc.AuthInfo).Value
			return new(testgrpc.SimpleResponse), nil
		}})
	if _, err := testgrpc.NewTestServiceClient(dialUnix(t, path)).UnaryCall(ctxOf(t), text("")); err != nil {
		t.Fatal(err)
	}
	if seen == nil {
		t.Error("B132: the peer's credentials are missing")
	}
}

// TestForeignCreds has a server refuse to serve by a gRPC server that shakes hands itself.
func TestForeignCreds(t *testing.T) {
	certs := newCertificates(t)
	for name, test := range map[string]struct {
		creds credentials.TransportCredentials
		wrong bool
	}{
		"TLS":      {credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certs.server}}), true},
		"insecure": {insecure.NewCredentials(), false},
		"brpc":     {brpc.Credentials(), false},
	} {
		t.Run(name, func(t *testing.T) {
			handler := new(countingStats)
			server := brpc.NewServer(testConfig{Server: grpc.NewServer(grpc.Creds(test.creds), grpc.StatsHandler(handler))})
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- server.ServeListener(ctx, l) }()
			if !test.wrong {
				conn := dialUnix(t, l.Addr().String())
				_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""))
				wantCode(t, "B133", err, codes.Unimplemented)
				cancel()
			}
			err = <-served
			cancel()
			if test.wrong != (err != nil && strings.Contains(err.Error(), "brpc.Credentials()")) {
				t.Errorf("B133: Serve has returned %v", err)
			}
			if test.wrong && handler.conns.Load() > 0 {
				t.Error("B133: a stats handler was told of a connection")
			}
		})
	}
}

var _ stats.Handler = (*countingStats)(nil)
