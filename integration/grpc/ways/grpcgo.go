// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// GRPC is gRPC itself over a unix socket, which the others are compared with.
var GRPC = Way{Name: "grpc-go", TLS: &GRPCWithTLS, Open: func(t testing.TB, s Setup) *Path {
	return openGRPC(t, s, insecure.NewCredentials(), insecure.NewCredentials())
}}

// GRPCWithTLS is gRPC itself with TLS.
var GRPCWithTLS = Way{Name: "grpc-go, TLS", Open: func(t testing.TB, s Setup) *Path {
	server, client := s.tls(t, "h2")
	return openGRPC(t, s, only{credentials.NewTLS(server), server}, credentials.NewTLS(client))
}}

// InProcess is what grpchan makes of calls of functions: a connection that is foreign to gRPC.
var InProcess = Way{Name: "grpchan, in process", Open: func(_ testing.TB, s Setup) *Path {
	channel := new(inprocgrpc.Channel)
	s.Register(channel)
	return &Path{CC: channel}
}}

// only has a server speak the protocols of its configuration and no other: gRPC adds its own.
type only struct {
	credentials.TransportCredentials
	config *tls.Config
}

func (o only) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if slices.Contains(o.config.NextProtos, "h2") {
		return o.TransportCredentials.ServerHandshake(conn)
	}
	return nil, nil, tls.Server(conn, o.config).Handshake()
}

func openGRPC(t testing.TB, s Setup, atServer, atClient credentials.TransportCredentials) *Path {
	t.Helper()
	link := NewLink(t, s)
	server := grpc.NewServer(append(s.serverOptions(), grpc.Creds(atServer))...)
	s.Register(server)
	serve(t, server, link)
	cc := dialGRPC(t, s, link, atClient)
	return &Path{CC: cc, Kill: link.Cut, Stop: server.GracefulStop, Stall: link.Stall, Rest: rest(cc)}
}

// rest returns what waits until a client of gRPC is idle.
func rest(cc *grpc.ClientConn) func() {
	return func() {
		for state := cc.GetState(); state != connectivity.Idle; state = cc.GetState() {
			cc.WaitForStateChange(context.Background(), state)
		}
	}
}

// serve serves until the end of the test.
func serve(t testing.TB, server *grpc.Server, link *Link) {
	t.Helper()
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(link)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
}

func dialGRPC(t testing.TB, s Setup, link *Link, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	opts := append(s.dialOptions(), grpc.WithContextDialer(link.Dial), grpc.WithTransportCredentials(creds))
	cc, err := grpc.NewClient("passthrough:///"+serverName, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// dialOptions returns what a client of gRPC is made with.
func (s Setup) dialOptions() (opts []grpc.DialOption) {
	if s.Idle != 0 {
		opts = append(opts, grpc.WithIdleTimeout(s.Idle))
	}
	return opts
}

// serverOptions returns what a server of gRPC is made with.
func (s Setup) serverOptions() (opts []grpc.ServerOption) {
	if s.MessageSize != 0 {
		opts = append(opts, grpc.MaxRecvMsgSize(s.MessageSize), grpc.MaxSendMsgSize(s.MessageSize))
	}
	if s.HeaderSize != 0 {
		opts = append(opts, grpc.MaxHeaderListSize(uint32(s.HeaderSize)))
	}
	if s.Recover {
		opts = append(opts, grpc.UnaryInterceptor(recoverUnary))
	}
	return opts
}

// recoverUnary is what users of gRPC put in front of handlers that panic.
func recoverUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			err = status.Error(codes.Internal, fmt.Sprint(failed))
		}
	}()
	return handler(ctx, req)
}
