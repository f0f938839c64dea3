// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ttrpcprom counts and times ttrpc's calls and streams for Prometheus, under the
// names that dashboards know from gRPC:
//
//	grpc_server_started_total       {grpc_type, grpc_service, grpc_method}
//	grpc_server_handled_total       {grpc_type, grpc_service, grpc_method, grpc_code}
//	grpc_server_msg_received_total  {grpc_type, grpc_service, grpc_method}
//	grpc_server_msg_sent_total      {grpc_type, grpc_service, grpc_method}
//	grpc_server_handling_seconds    {grpc_type, grpc_service, grpc_method}, a histogram
//
// and the same with client instead of server. With [WithPrefix]("ttrpc") they are called
// ttrpc_server_started_total {type, service, method} and so on, beside those of gRPC.
//
//	m := ttrpcprom.NewServerMetrics()
//	prometheus.MustRegister(m)
//	server, err := ttrpc.NewServer(m.Option())
//	... register services ...
//	m.Initialize(server) // so that there are zeros before the first call
//
// grpc_type is unary, client_stream, server_stream or bidi_stream, and grpc_code the name of
// the status, "NotFound". No peer makes labels: service and method of what the server has
// not registered are "_OTHER", and a code that gRPC does not have is "Unknown". A client's
// methods are "_OTHER", too, beyond the first thousand.
//
// Messages that are sent or received on a stream after it was detached are not counted.
package ttrpcprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/containerd/ttrpc"
)

// An Option says how metrics are called and divided. Of one that is given twice the last counts.
type Option func(*config)

type config struct {
	prefix, label string
	buckets       []float64
	constant      prometheus.Labels
}

// WithPrefix has names begin with a prefix instead of grpc, and labels without one. A program
// that has metrics of gRPC, too, needs it: two collectors with the same names cannot both be
// registered.
func WithPrefix(prefix string) Option {
	return func(c *config) { c.prefix, c.label = prefix+"_", "" }
}

// WithBuckets sets the bounds of the histogram's buckets, in seconds, rising. The default
// begins at 10 µs, which is what a call takes, and ends at 10 s.
func WithBuckets(bounds ...float64) Option { return func(c *config) { c.buckets = bounds } }

// WithConstLabels adds labels to all metrics.
func WithConstLabels(labels prometheus.Labels) Option { return func(c *config) { c.constant = labels } }

// ServerMetrics counts the calls that servers serve. It is a prometheus.Collector, and one
// may be given to several servers.
type ServerMetrics struct{ metrics }

// NewServerMetrics makes metrics, to be registered with Prometheus.
func NewServerMetrics(opts ...Option) *ServerMetrics {
	return &ServerMetrics{newMetrics("server", opts)}
}

// Option has a server's calls counted.
func (m *ServerMetrics) Option() ttrpc.ServerOpt {
	return inTurn(
		ttrpc.WithServerTrace(&ttrpc.Trace{Call: m.callServed}),
		ttrpc.WithChainStreamServerInterceptor(m.serveStream),
	)
}

// Initialize makes the metrics of all methods that are registered with a server, with the value
// zero, so that a rate is right from the first call on.
func (m *ServerMetrics) Initialize(server *ttrpc.Server) {
	for _, service := range server.Services() {
		for _, method := range service.Methods {
			of := m.find("/"+service.Name+"/"+method.Name, true, method.Unary, method.StreamingClient, method.StreamingServer)
			for code := range of.handled {
				m.handledOf(of, code)
			}
		}
	}
}

// ClientMetrics counts the calls that clients make. It is a prometheus.Collector, and one may
// be given to several clients.
type ClientMetrics struct{ metrics }

// NewClientMetrics makes metrics, to be registered with Prometheus.
func NewClientMetrics(opts ...Option) *ClientMetrics {
	return &ClientMetrics{newMetrics("client", opts)}
}

// Option has a client's calls counted: of NewClient or Dial.
func (m *ClientMetrics) Option() ttrpc.ClientOpts {
	return func(c *ttrpc.Client) {
		ttrpc.WithClientTrace(&ttrpc.Trace{Call: m.streamMade})(c)
		ttrpc.WithChainUnaryClientInterceptor(m.callUnary)(c)
		ttrpc.WithChainStreamClientInterceptor(m.callStream)(c)
	}
}

// inTurn makes one option of several. Its parameter stands for the type of options of
// ttrpc, which other packages cannot name.
func inTurn[C any](opts ...func(C) error) func(C) error {
	return func(c C) error {
		for _, opt := range opts {
			if err := opt(c); err != nil {
				return err
			}
		}
		return nil
	}
}
