// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/containerd/ttrpc"
)

// ServerOption has a server's calls traced and measured. Its interceptors run where it stands
// among the chained ones: first is outermost.
func ServerOption(opts ...Option) ttrpc.ServerOpt {
	c := newConfig(opts)
	s := newSpans(c, trace.SpanKindServer)
	return inTurn(
		ttrpc.WithServerTrace(newMetrics(c).trace()),
		ttrpc.WithChainUnaryServerInterceptor(s.serveUnary),
		ttrpc.WithChainStreamServerInterceptor(s.serveStream),
	)
}

// ClientOption has a client's calls traced and measured. Clients that it is given to share
// it, and each one's spans have the address of its own server. Its interceptors run where it
// stands among the chained ones.
//
// It is for NewClient and Dial. To [ttrpc.WithPeerClientOptions] give the interceptors:
// their calls are in the metrics of the server already.
func ClientOption(opts ...Option) ttrpc.ClientOpts {
	c := newConfig(opts)
	m, s := newMetrics(c), newSpans(c, trace.SpanKindClient)
	s.measured = m
	return func(client *ttrpc.Client) {
		own := *s // with the address of this client's server
		own.server = new(serverOf)
		t := &ttrpc.Trace{Conn: own.server.connBegins, Call: m.streamBegins}
		for _, opt := range []ttrpc.ClientOpts{
			ttrpc.WithClientTrace(t),
			ttrpc.WithChainUnaryClientInterceptor(own.callUnary),
			ttrpc.WithChainStreamClientInterceptor(own.callStream),
		} {
			opt(client)
		}
	}
}

// UnaryServerInterceptor makes spans of unary calls that a server serves.
func UnaryServerInterceptor(opts ...Option) ttrpc.UnaryServerInterceptor {
	return newSpans(newConfig(opts), trace.SpanKindServer).serveUnary
}

// StreamServerInterceptor makes spans of streams that a server serves.
func StreamServerInterceptor(opts ...Option) ttrpc.StreamServerInterceptor {
	return newSpans(newConfig(opts), trace.SpanKindServer).serveStream
}

// UnaryClientInterceptor makes spans of a client's unary calls. Unlike those of
// [ClientOption] they do not have the server's address.
func UnaryClientInterceptor(opts ...Option) ttrpc.UnaryClientInterceptor {
	return newSpans(newConfig(opts), trace.SpanKindClient).callUnary
}

// StreamClientInterceptor makes spans of a client's streams. Unlike those of [ClientOption]
// they do not have the server's address.
func StreamClientInterceptor(opts ...Option) ttrpc.StreamClientInterceptor {
	return newSpans(newConfig(opts), trace.SpanKindClient).callStream
}

// Trace returns a trace that measures calls: for servers, clients or both.
func Trace(opts ...Option) *ttrpc.Trace { return newMetrics(newConfig(opts)).trace() }

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
