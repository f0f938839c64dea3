// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/containerd/ttrpc"
)

// options are those of this package among a ClientConn's.
type options struct {
	handshaker ttrpc.Handshaker
	ttrpc      []ttrpc.ClientOpts
	server     []grpc.ServerOption
	metadata   metadata.MD
	backoff    ttrpc.Backoff
	events     func(ttrpc.ConnectionEvent)
	failed     context.CancelCauseFunc
}

// A dialOption is one of this package, which means nothing to gRPC.
type dialOption struct {
	grpc.EmptyDialOption
	set func(*options)
}

func optionsOf(opts []grpc.DialOption) *options {
	o := new(options)
	for _, opt := range opts {
		if d, ok := opt.(dialOption); ok {
			d.set(o)
		}
	}
	return o
}

// WithHandshaker has each connection of a ClientConn pass h before anything else: TLS for unix
// or TCP sockets is ttrpctls.ClientHandshaker.
func WithHandshaker(h ttrpc.Handshaker) grpc.DialOption {
	return dialOption{set: func(o *options) { o.handshaker = h }}
}

// WithTTRPCOptions sets options of the ttrpc clients below a ClientConn, such as keep-alive, a
// logger, a trace and limits. Handshaker and services are its own.
func WithTTRPCOptions(opts ...ttrpc.ClientOpts) grpc.DialOption {
	return dialOption{set: func(o *options) { o.ttrpc = append(o.ttrpc, opts...) }}
}

// WithReverseServerOptions sets options of the gRPC server that answers the calls to a
// ClientConn which serves by [ServeClientService]: interceptors, for example.
func WithReverseServerOptions(opts ...grpc.ServerOption) grpc.DialOption {
	return dialOption{set: func(o *options) { o.server = append(o.server, opts...) }}
}

// WithServeMetadata is what a ClientConn that serves tells the server's [Pool], on each
// connection: PoolConfig.Key gets it. Values are text, also those of keys that end in "-bin".
func WithServeMetadata(md metadata.MD) grpc.DialOption {
	return dialOption{set: func(o *options) { o.metadata = md.Copy() }}
}

// WithBackoff says how long a ClientConn that dials pauses between attempts to connect.
func WithBackoff(b ttrpc.Backoff) grpc.DialOption {
	return dialOption{set: func(o *options) { o.backoff = b }}
}

// WithEvents has f told what becomes of the connections of a ClientConn that dials, as the
// Events of a ttrpc.Dialer.
func WithEvents(f func(ttrpc.ConnectionEvent)) grpc.DialOption {
	return dialOption{set: func(o *options) { o.events = f }}
}
