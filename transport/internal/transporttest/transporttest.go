// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package transporttest is what the tests of all transports share: what a conn must do, and
// ttrpc over it.
package transporttest

import (
	"context"
	"net"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A Transport is one under test.
type Transport struct {
	// Listen returns a listener, and what dials it. Both end with the test.
	Listen func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error))

	// HalfClose is whether conns have CloseWrite.
	HalfClose bool

	// OtherAddresses is whether the two ends know each other by other addresses than
	// their own, as there is a proxy in between.
	OtherAddresses bool
}

// Pair returns both ends of a connection, which are closed when the test ends.
func (tr Transport) Pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, dial := tr.Listen(t)
	client, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// Serve has a server with the streaming service serve a listener until the test ends.
func Serve(t testing.TB, l net.Listener, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	server, err := ttrpc.NewServer(append(opts, ttrpc.WithServerLogger(quiet{}))...)
	if err != nil {
		t.Fatal(err)
	}
	streaming.RegisterStreamingService(server, streaming.Service{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("B24: Serve returned %v", err)
		}
	})
	return server
}

// Connect returns a client on a conn, which is closed when the test ends.
func Connect(t testing.TB, conn net.Conn, opts ...ttrpc.ClientOpts) streaming.StreamingClient {
	t.Helper()
	client := ttrpc.NewClient(conn, append(opts, ttrpc.WithClientLogger(quiet{}))...)
	t.Cleanup(func() {
		client.Close()
		if err := client.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return streaming.NewStreamingClient(client)
}

// Echo is a call that must be answered.
func Echo(t testing.TB, client streaming.StreamingClient, msg string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
	defer cancel()
	got, err := client.Echo(ctx, &streaming.EchoPayload{Seq: 1, Msg: msg})
	if err != nil || got.Seq != 2 || got.Msg != msg {
		t.Fatalf("B96: Echo of %d bytes: seq %d, %d bytes, %v", len(msg), got.GetSeq(), len(got.GetMsg()), err)
	}
}

// quiet is a logger for conns that are meant to break.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
