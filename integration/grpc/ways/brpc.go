// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"log/slog"
	"testing"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/brpc"
)

// BRPC is gRPC through a tunnel of brpc on a unix socket.
var BRPC = Way{Name: "brpc, unix", Open: func(t testing.TB, s Setup) *Path {
	return openBRPC(t, s, NewLink(t, s))
}}

// BRPCPeer is the same with the client that serves.
var BRPCPeer = Way{Name: "brpc, unix, server calls client", Open: func(t testing.TB, s Setup) *Path {
	return openBRPCPeer(t, s, NewLink(t, s))
}}

// BRPCOverQUIC is brpc over QUIC, which has TLS in any case.
var BRPCOverQUIC = Way{Name: "brpc, QUIC", Open: func(t testing.TB, s Setup) *Path {
	return openBRPC(t, s, NewQUICLink(t, s))
}}

// BRPCPeerOverQUIC is the same with the client that serves.
var BRPCPeerOverQUIC = Way{Name: "brpc, QUIC, server calls client", Open: func(t testing.TB, s Setup) *Path {
	return openBRPCPeer(t, s, NewQUICLink(t, s))
}}

// A Conn is what clients of a brpc server are called by.
type Conn = grpc.ClientConnInterface

func openBRPC(t testing.TB, s Setup, link *Link) *Path {
	t.Helper()
	server := NewBRPC(s, nil)
	s.Register(server.Server)
	ServeBRPC(t, server, link)
	cc := DialBRPC(t, link, s.dialOptions()...)
	return &Path{CC: cc, Kill: link.Cut, Stop: server.GracefulStop, Stall: link.Stall, Rest: rest(cc.ClientConn)}
}

// openBRPCPeer returns when the server can call the client.
func openBRPCPeer(t testing.TB, s Setup, link *Link) *Path {
	t.Helper()
	opened := make(chan Conn, 1)
	pool := brpc.NewPool(brpc.PoolConfig{Opened: func(c *brpc.PoolClient) { opened <- c }})
	ServeBRPC(t, NewBRPC(s, pool), link)
	client := DialBRPC(t, link)
	services := grpc.NewServer(s.serverOptions()...)
	s.Register(services)
	served := make(chan struct{})
	go func() {
		defer close(served)
		client.ServeReverse(services)
	}()
	t.Cleanup(func() {
		client.Close()
		<-served
	})
	return &Path{
		CC:    <-opened,
		Kill:  link.Cut,
		Stop:  func() { client.Shutdown(context.Background()) },
		Stall: link.Stall,
	}
}

// NewBRPC returns a server that logs nothing.
func NewBRPC(s Setup, pool *brpc.Pool) *brpc.Server[Conn] {
	server := brpc.NewServer(brpc.ServerConfig[Conn]{
		ClientServiceBuilder: func(cc Conn) Conn { return cc },
		Server:               grpc.NewServer(append(s.serverOptions(), grpc.Creds(brpc.Credentials()))...),
		ServerOptions:        []ttrpc.ServerOpt{ttrpc.WithServerLogger(silent{})},
		Pool:                 pool,
	})
	server.Logger = slog.New(slog.DiscardHandler)
	return server
}

// ServeBRPC serves until the end of the test.
func ServeBRPC(t testing.TB, server *brpc.Server[Conn], link *Link) {
	t.Helper()
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.ServeListener(context.Background(), link)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
}

// DialBRPC returns a client, which is closed at the end of the test.
func DialBRPC(t testing.TB, link *Link, opts ...grpc.DialOption) *brpc.ClientConn {
	t.Helper()
	client, err := brpc.DialNet("passthrough:///"+serverName, link.dial, append(opts, Silent())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// Silent has a brpc client log nothing.
func Silent() grpc.DialOption { return brpc.WithTTRPCOptions(ttrpc.WithClientLogger(silent{})) }
