// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// ttrpcFront is ttrpc in front of gRPC.
type ttrpcFront struct {
	conn   *grpc.ClientConn
	bridge *bridge.ToGRPC
	server *ttrpc.Server
	ctx    context.Context // the handlers'
	cancel context.CancelFunc
}

func openTTRPC(_ context.Context, s *settings) (front, error) {
	conn, err := s.dialGRPC()
	if err != nil {
		return nil, err
	}
	f := &ttrpcFront{conn: conn}
	config, err := s.config(bridge.ReflectGRPC(conn))
	if err == nil {
		f.bridge = bridge.NewToGRPC(conn, config)
		options := []ttrpc.ServerOpt{
			ttrpc.WithServerExtensions(),
			ttrpc.WithUnknownServiceHandler(f.bridge.Handler()),
			ttrpc.WithServerLimits(s.ttrpcLimits()),
			ttrpc.WithServerLogger(s.log),
		}
		if s.sameUser {
			options = append(options, ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
		}
		f.server, err = ttrpc.NewServer(options...)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	conn.Connect() // so that the first call need not wait
	return f, nil
}

func (s *settings) dialGRPC() (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if s.tls {
		config, err := s.clientTLS()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(s.to,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(s.serviceConfig),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: s.connectTimeout}),
	)
	if err != nil {
		return nil, fmt.Errorf("-to or -service-config: %w", err)
	}
	return conn, nil
}

func (f *ttrpcFront) serve(l net.Listener) error {
	if err := f.server.Serve(f.ctx, l); !errors.Is(err, ttrpc.ErrServerClosed) {
		return err
	}
	return nil
}

func (*ttrpcFront) drain() {} // Shutdown tells the clients

func (f *ttrpcFront) shutdown(ctx context.Context) error { return f.server.Shutdown(ctx) }

func (f *ttrpcFront) counts() bridge.Counts { return f.bridge.Counts() }

func (f *ttrpcFront) close() {
	f.cancel()
	f.server.Close()
	f.conn.Close()
}
