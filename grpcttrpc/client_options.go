// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"
)

// ClientOption sets an option of [NewClientConn].
type ClientOption func(*clientConfig)

// WithChainUnaryClientInterceptor adds interceptors of unary calls. They run in order, the first
// outermost. The *grpc.ClientConn that they are given is closed, for the calls go through none; its target is
// passthrough:///ttrpc.
func WithChainUnaryClientInterceptor(interceptors ...grpc.UnaryClientInterceptor) ClientOption {
	if slices.ContainsFunc(interceptors, func(i grpc.UnaryClientInterceptor) bool { return i == nil }) {
		panic("grpcttrpc: an interceptor is nil")
	}
	return func(c *clientConfig) { c.unary = append(c.unary, interceptors...) }
}

// WithChainStreamClientInterceptor adds interceptors of streams. They run in order, the first
// outermost. The *grpc.ClientConn that they are given is closed, for the calls go through none; its target is
// passthrough:///ttrpc.
func WithChainStreamClientInterceptor(interceptors ...grpc.StreamClientInterceptor) ClientOption {
	if slices.ContainsFunc(interceptors, func(i grpc.StreamClientInterceptor) bool { return i == nil }) {
		panic("grpcttrpc: an interceptor is nil")
	}
	return func(c *clientConfig) { c.stream = append(c.stream, interceptors...) }
}

// WithClientStatsHandler adds a handler that is told of calls. Its TagConn and HandleConn are not
// called: connections are ttrpc's, see [ttrpc.WithClientTrace].
func WithClientStatsHandler(h stats.Handler) ClientOption {
	if h == nil {
		panic("grpcttrpc: the stats handler is nil")
	}
	return func(c *clientConfig) { c.stats = append(c.stats, h) }
}

// WithDefaultCallOptions adds options for all calls. They stand before the calls' own.
func WithDefaultCallOptions(opts ...grpc.CallOption) ClientOption {
	return func(c *clientConfig) { c.defaults = append(c.defaults, opts...) }
}

// WithPerRPCCredentials adds credentials that all calls send, beside those that a call has itself.
// If they require transport security a call on a connection without fails.
func WithPerRPCCredentials(creds credentials.PerRPCCredentials) ClientOption {
	if creds == nil {
		panic("grpcttrpc: the credentials are nil")
	}
	return func(c *clientConfig) { c.creds = append(c.creds, creds) }
}
