// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// A ServerOption configures a [Registrar].
type ServerOption func(*servedConfig)

// servedConfig is what options have set. It does not change after NewRegistrar.
type servedConfig struct {
	unary  grpc.UnaryServerInterceptor  // nil if there is none
	stream grpc.StreamServerInterceptor // nil if there is none
	stats  statsHandlers                // nil if nobody asks
	codec  codec                        // nil if messages are ttrpc's to encode
}

// encodes tells whether messages are encoded here, and not by ttrpc.
func (c *servedConfig) encodes() bool { return c.codec != nil || c.stats != nil }

// WithChainUnaryServerInterceptor has interceptors run around the handlers of unary calls, the
// first outermost. If it is given again, those come inside of the ones before. They run
// inside of interceptors of the ttrpc server.
func WithChainUnaryServerInterceptor(interceptors ...grpc.UnaryServerInterceptor) ServerOption {
	for _, i := range interceptors {
		if i == nil {
			panic("grpcttrpc: a unary interceptor is nil")
		}
	}
	return func(c *servedConfig) {
		for _, i := range interceptors {
			c.unary = joinUnaryServed(c.unary, i)
		}
	}
}

// WithChainStreamServerInterceptor has interceptors run around the handlers of streams, the first
// outermost. If it is given again, those come inside of the ones before.
func WithChainStreamServerInterceptor(interceptors ...grpc.StreamServerInterceptor) ServerOption {
	for _, i := range interceptors {
		if i == nil {
			panic("grpcttrpc: a stream interceptor is nil")
		}
	}
	return func(c *servedConfig) {
		for _, i := range interceptors {
			c.stream = joinStreamServed(c.stream, i)
		}
	}
}

// WithServerStatsHandler has h told of the calls. It may be given several times. It is not
// told of connections, which are the ttrpc server's, see ttrpc.WithServerTrace.
func WithServerStatsHandler(h stats.Handler) ServerOption {
	if h == nil {
		panic("grpcttrpc: a stats handler is nil")
	}
	return func(c *servedConfig) { c.stats = append(c.stats, h) }
}

// joinUnaryServed runs inner inside of outer, which may be nil.
func joinUnaryServed(outer, inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if outer == nil {
		return inner
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return outer(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return inner(ctx, req, info, handler)
		})
	}
}

// joinStreamServed is the same for streams.
func joinStreamServed(outer, inner grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	if outer == nil {
		return inner
	}
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return outer(srv, stream, info, func(srv any, stream grpc.ServerStream) error {
			return inner(srv, stream, info, handler)
		})
	}
}
