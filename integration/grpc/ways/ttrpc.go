// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/ttrpctls"
)

// TTRPC is gRPC's stubs over ttrpc in extended mode, on a unix socket.
var TTRPC = Way{Name: "grpcttrpc", TLS: &TTRPCWithTLS, Open: func(t testing.TB, s Setup) *Path {
	return openTTRPC(t, s, ttrpcSides{extended: true})
}}

// TTRPCWithTLS is the same with TLS.
var TTRPCWithTLS = Way{Name: "grpcttrpc, TLS", Open: func(t testing.TB, s Setup) *Path {
	return openTTRPC(t, s, withTLS(t, s, true))
}}

// TTRPCClassic is gRPC's stubs over classic ttrpc, on a unix socket.
var TTRPCClassic = Way{Name: "grpcttrpc, classic", TLS: &TTRPCClassicWithTLS, Classic: true, Open: func(t testing.TB, s Setup) *Path {
	return openTTRPC(t, s, ttrpcSides{})
}}

// TTRPCClassicWithTLS is the same with TLS.
var TTRPCClassicWithTLS = Way{Name: "grpcttrpc, classic, TLS", Classic: true, Open: func(t testing.TB, s Setup) *Path {
	return openTTRPC(t, s, withTLS(t, s, false))
}}

// TTRPCPeer has the ttrpc client serve, and the server call.
var TTRPCPeer = Way{Name: "grpcttrpc, server calls client", Open: func(t testing.TB, s Setup) *Path {
	return openPeer(t, s, ttrpcSides{extended: true})
}}

// TTRPCPeerWithTLS is the same with TLS.
var TTRPCPeerWithTLS = Way{Name: "grpcttrpc, server calls client, TLS", Open: func(t testing.TB, s Setup) *Path {
	return openPeer(t, s, withTLS(t, s, true))
}}

// ttrpcSides are the options of both ends.
type ttrpcSides struct {
	extended bool
	server   []ttrpc.ServerOpt
	client   []ttrpc.ClientOpts
}

func withTLS(t testing.TB, s Setup, extended bool) ttrpcSides {
	server, client := s.tls(t, "ttrpc")
	return ttrpcSides{
		extended: extended,
		server:   []ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpctls.ServerHandshaker(server))},
		client:   []ttrpc.ClientOpts{ttrpc.WithClientHandshaker(ttrpctls.ClientHandshaker(client))},
	}
}

// openTTRPC has the ttrpc server serve.
func openTTRPC(t testing.TB, s Setup, sides ttrpcSides) *Path {
	t.Helper()
	link := NewLink(t, s)
	server := sides.newServer(t, s, sides.server...)
	s.Register(grpcttrpc.NewRegistrar(server))
	serveTTRPC(t, server, link)
	return &Path{
		CC:    grpcttrpc.NewClientConn(sides.dial(t, link)),
		Kill:  link.Cut,
		Stop:  func() { server.Shutdown(context.Background()) },
		Stall: link.Stall,
	}
}

// openPeer has the ttrpc client serve, and returns when the server can call it.
func openPeer(t testing.TB, s Setup, sides ttrpcSides) *Path {
	t.Helper()
	link := NewLink(t, s)
	services := sides.newServer(t, s)
	s.Register(grpcttrpc.NewRegistrar(services))
	peers := make(chan grpc.ClientConnInterface, 1)
	hook := func(ctx context.Context) {
		if client, err := ttrpc.PeerClient(ctx); err == nil {
			peers <- grpcttrpc.NewClientConn(client)
		}
	}
	serveTTRPC(t, sides.newServer(t, s, append(sides.server, ttrpc.WithConnectionHook(hook))...), link)
	client := sides.dial(t, link, ttrpc.WithClientServices(services))
	return &Path{
		CC:    <-peers,
		Kill:  link.Cut,
		Stop:  func() { client.Shutdown(context.Background()) },
		Stall: link.Stall,
	}
}

func (sides ttrpcSides) newServer(t testing.TB, s Setup, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	opts = append(opts, ttrpc.WithServerLogger(silent{}), ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: s.MessageSize}))
	if sides.extended {
		opts = append(opts, ttrpc.WithServerExtensions())
	}
	if s.Recover {
		opts = append(opts, ttrpc.WithRecoverPanics())
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// serveTTRPC serves until the end of the test.
func serveTTRPC(t testing.TB, server *ttrpc.Server, link *Link) {
	t.Helper()
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(context.Background(), link)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
}

// dial returns a client that fails where gRPC's does, unless calls say that they wait.
func (sides ttrpcSides) dial(t testing.TB, link *Link, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	opts = append(opts, sides.client...)
	opts = append(opts, ttrpc.WithDialer(ttrpc.Dialer{Dial: link.Dial, FailFast: true}), ttrpc.WithClientLogger(silent{}))
	if sides.extended {
		opts = append(opts, ttrpc.WithExtensions())
	}
	client, err := ttrpc.Dial("link:", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// silent logs nothing.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
