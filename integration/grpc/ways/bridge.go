// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// ToTTRPC is gRPC's client, the bridge, and a ttrpc server. What a situation does to the
// server it does to that.
var ToTTRPC = Way{Name: "bridge, gRPC to ttrpc", TLS: &ToTTRPCWithTLS, Reflects: true, Open: func(t testing.TB, s Setup) *Path {
	return openToTTRPC(t, s, insecure.NewCredentials(), insecure.NewCredentials())
}}

// ToTTRPCWithTLS is the same with TLS in front of the bridge.
var ToTTRPCWithTLS = Way{Name: "bridge, gRPC with TLS to ttrpc", Open: func(t testing.TB, s Setup) *Path {
	server, client := s.tls(t, "h2")
	return openToTTRPC(t, s, only{credentials.NewTLS(server), server}, credentials.NewTLS(client))
}}

// ToGRPC is ttrpc's client, the bridge, and a gRPC server.
var ToGRPC = Way{Name: "bridge, ttrpc to gRPC", TLS: &ToGRPCWithTLS, Reflects: true, Open: func(t testing.TB, s Setup) *Path {
	return openToGRPC(t, s, ttrpcSides{extended: true})
}}

// ToGRPCWithTLS is the same with TLS in front of the bridge.
var ToGRPCWithTLS = Way{Name: "bridge, ttrpc with TLS to gRPC", Open: func(t testing.TB, s Setup) *Path {
	return openToGRPC(t, s, withTLS(t, s, true))
}}

func openToTTRPC(t testing.TB, s Setup, atServer, atClient credentials.TransportCredentials) *Path {
	t.Helper()
	back, sides := NewLink(t, s), ttrpcSides{extended: true}
	server := sides.newServer(t, s)
	registrar := grpcttrpc.NewRegistrar(server)
	s.Register(registrar)
	reflection.Register(registrar)
	serveTTRPC(t, server, back)

	between := sides.dial(t, back)
	b := bridge.NewToTTRPC(between, s.bridge(bridge.ReflectTTRPC(between)))
	front, frontServer := NewLink(t, Setup{}), b.NewServer(grpc.Creds(atServer))
	serve(t, frontServer, front)
	return &Path{
		CC:      dialGRPC(t, s, front, atClient),
		Kill:    back.Cut,
		Stop:    func() { server.Shutdown(context.Background()) },
		Stall:   back.Stall,
		Between: &Between{Kill: front.Cut, Stop: frontServer.GracefulStop},
	}
}

func openToGRPC(t testing.TB, s Setup, sides ttrpcSides) *Path {
	t.Helper()
	back := NewLink(t, s)
	server := grpc.NewServer(s.serverOptions()...)
	s.Register(server)
	reflection.Register(server)
	serve(t, server, back)

	between := dialGRPC(t, s, back, insecure.NewCredentials())
	b := bridge.NewToGRPC(between, s.bridge(bridge.ReflectGRPC(between)))
	front := NewLink(t, Setup{})
	frontServer := sides.newServer(t, Setup{}, append(sides.server, ttrpc.WithUnknownServiceHandler(b.Handler()))...)
	serveTTRPC(t, frontServer, front)
	return &Path{
		CC:      grpcttrpc.NewClientConn(sides.dial(t, front)),
		Kill:    back.Cut,
		Stop:    server.GracefulStop,
		Stall:   back.Stall,
		Between: &Between{Kill: front.Cut, Stop: func() { frontServer.Shutdown(context.Background()) }},
	}
}

// bridge returns what a bridge is made with.
func (s Setup) bridge(methods bridge.Methods) bridge.Config {
	return bridge.Config{
		Methods: []bridge.Methods{methods},
		Limits:  bridge.Limits{Message: s.BetweenSize, Metadata: s.HeaderSize},
	}
}
