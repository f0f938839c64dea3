// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// envelope is room for what stands around a message in ttrpc.
const envelope = 256 << 10

// ttrpcLimits are those of the ttrpc side, which has to allow what the bridge allows.
func (s *settings) ttrpcLimits() ttrpc.Limits {
	if s.limits.Message <= 4<<20 {
		return ttrpc.Limits{} // what every peer takes
	}
	return ttrpc.Limits{MessageSize: min(s.limits.Message+envelope, 1<<30)}
}

// grpcFront is gRPC in front of ttrpc.
type grpcFront struct {
	client *ttrpc.Client
	bridge *bridge.ToTTRPC
	server *grpc.Server
}

func openGRPC(_ context.Context, s *settings) (front, error) {
	var options []grpc.ServerOption
	if s.tlsCert != "" {
		config, err := s.serverTLS()
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	if s.tokenFile != "" {
		token, err := readToken(s.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("-token-file: %w", err)
		}
		options = append(options, grpc.ChainUnaryInterceptor(token.unary), grpc.ChainStreamInterceptor(token.stream))
	}
	client, reflection, err := s.dialTTRPC()
	if err != nil {
		return nil, fmt.Errorf("-to: %w", err)
	}
	config, err := s.config(reflection)
	if err != nil {
		client.Close()
		return nil, err
	}
	b := bridge.NewToTTRPC(client, config)
	return &grpcFront{client, b, b.NewServer(options...)}, nil
}

// dialTTRPC returns a client that reconnects, and what asks its server for its methods, anew
// on each connection.
func (s *settings) dialTTRPC() (*ttrpc.Client, *bridge.Reflection, error) {
	var reflection atomic.Pointer[bridge.Reflection]
	events := func(e ttrpc.ConnectionEvent) {
		if r := reflection.Load(); r != nil && e.Kind == ttrpc.EventConnected {
			r.Forget()
		}
	}
	options := []ttrpc.ClientOpts{
		ttrpc.WithDialer(ttrpc.Dialer{FailFast: true, Events: events}),
		ttrpc.WithClientTimeouts(ttrpc.Timeouts{Handshake: s.connectTimeout}),
		ttrpc.WithClientLimits(s.ttrpcLimits()),
		ttrpc.WithClientLogger(s.log),
	}
	if !s.classic {
		options = append(options, ttrpc.WithExtensions())
	}
	client, err := ttrpc.Dial(s.to, options...)
	if err != nil {
		return nil, nil, err
	}
	asks := bridge.ReflectTTRPC(client)
	reflection.Store(asks)
	return client, asks, nil
}

func (f *grpcFront) serve(l net.Listener) error { return f.server.Serve(l) }

func (f *grpcFront) drain() { f.bridge.Drain() }

func (f *grpcFront) shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() { defer close(done); f.server.GracefulStop() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err() // close cuts off the rest
	}
}

func (f *grpcFront) counts() bridge.Counts { return f.bridge.Counts() }

func (f *grpcFront) close() {
	f.server.Stop()
	f.client.Close()
	<-f.client.Done()
}
