// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// An oldService is written as for clarkmcc/brpc.
type oldService struct {
	testgrpc.UnimplementedTestServiceServer
	*brpc.Server[testgrpc.TestServiceClient]
}

func (s *oldService) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	client, err := s.ClientFromContext(ctx)
	if err != nil {
		return nil, err
	}
	return client.UnaryCall(ctx, r)
}

// TestOldProgram runs a program that is written as for clarkmcc/brpc, but for *quic.Conn, and
// has its Dialer replaced.
func TestOldProgram(t *testing.T) {
	certs := newCertificates(t)
	l := certs.listen(t, "127.0.0.1:0")
	defer l.Close()
	s := &oldService{Server: brpc.NewServer(brpc.ServerConfig[testgrpc.TestServiceClient]{
		ClientServiceBuilder: testgrpc.NewTestServiceClient,
		Server:               grpc.NewServer(),
		Grace:                time.Hour,
	})}
	var told strings.Builder
	s.Logger = slog.New(slog.NewTextHandler(&told, nil))
	testgrpc.RegisterTestServiceServer(s.Server, s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()

	conn, err := brpc.Dial(l.Addr().String(), certs.config())
	if err != nil {
		t.Fatal(err)
	}
	var dialed atomic.Int32
	conn.Dialer = func(ctx context.Context, target string) (*quic.Conn, error) {
		dialed.Add(1)
		return quic.DialAddr(ctx, target, certs.config(), nil)
	}
	shutdown, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- brpc.ServeClientService[testgrpc.TestServiceClient](shutdown, conn, func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, named("old "))
		})
	}()
	r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("program"))
	if err != nil || body(r) != "old program" {
		t.Errorf("B130: the answer is %q, %v", body(r), err)
	}
	close(shutdown)
	if err := <-done; err != nil {
		t.Error(err)
	}
	testkit.Within(t, "B134", s.GracefulStop)
	if err := <-served; err != nil {
		t.Error(err)
	}
	if told.Len() > 0 {
		t.Errorf("B130: the logger was told %s", told.String())
	}
	next := brpc.NewServer(testConfig{})
	testgrpc.RegisterTestServiceServer(next, named("next "))
	l.Close()
	l = certs.listen(t, conn.Target()[len("passthrough:///"):])
	go next.Serve(context.Background(), l)
	defer next.Stop()
	r, err = testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("one"), grpc.WaitForReady(true))
	if err != nil || body(r) != "next one" || dialed.Load() == 0 {
		t.Errorf("B130: after %d dials the answer is %q, %v", dialed.Load(), body(r), err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestRefusedHandshake has Dial tell that a certificate is not trusted, that the server wants
// one, and that protocols differ.
func TestRefusedHandshake(t *testing.T) {
	certs := newCertificates(t)
	server := brpc.NewServer(testConfig{})
	addr := serveQUIC(t, server, certs)
	for name, change := range map[string]func(*tls.Config){
		"unknown server": func(c *tls.Config) { c.RootCAs = trusting(certs.client) },
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"other protocol": func(c *tls.Config) { c.NextProtos = []string{"other"} },
		"none":           func(c *tls.Config) { c.NextProtos = nil },
	} {
		config := certs.config()
		change(config)
		if conn, err := brpc.DialContext(ctxOf(t), addr, config); err == nil {
			conn.Close()
			t.Errorf("B132: %s: Dial succeeds", name)
		} else if !strings.Contains(err.Error(), "tls") && !strings.Contains(err.Error(), "CRYPTO_ERROR") {
			t.Errorf("B132: %s: Dial returns %v", name, err)
		}
	}
}
