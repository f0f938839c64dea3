// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ways

import (
	"context"
	"fmt"
	"testing"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// GRPC is gRPC itself over a unix socket, which the others are compared with.
var GRPC = Way{Name: "grpc-go", Open: func(t testing.TB, s Setup) *Path {
	return openGRPC(t, s, insecure.NewCredentials(), insecure.NewCredentials())
}}

// GRPCWithTLS is gRPC itself with TLS.
var GRPCWithTLS = Way{Name: "grpc-go, TLS", Open: func(t testing.TB, s Setup) *Path {
	server, client := s.tls(t, "h2")
	return openGRPC(t, s, credentials.NewTLS(server), credentials.NewTLS(client))
}}

// InProcess is what grpchan makes of calls of functions: a connection that is foreign to gRPC.
var InProcess = Way{Name: "grpchan, in process", Open: func(_ testing.TB, s Setup) *Path {
	channel := new(inprocgrpc.Channel)
	s.Register(channel)
	return &Path{CC: channel}
}}

func openGRPC(t testing.TB, s Setup, atServer, atClient credentials.TransportCredentials) *Path {
	t.Helper()
	link := NewLink(t, s)
	server := grpc.NewServer(append(s.serverOptions(), grpc.Creds(atServer))...)
	s.Register(server)
	serve(t, server, link)
	return &Path{CC: dialGRPC(t, link, atClient), Kill: link.Cut, Stop: server.GracefulStop, Stall: link.Stall}
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

func dialGRPC(t testing.TB, link *Link, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+serverName, grpc.WithContextDialer(link.Dial), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
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
