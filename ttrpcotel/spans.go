// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
)

// scope is the name under which spans and metrics are made.
const scope = "github.com/containerd/ttrpc/ttrpcotel"

// The keys of the stable conventions, as text: packages semconv of the versions of
// OpenTelemetry that this module allows do not have all of them.
const (
	keySystem         = attribute.Key("rpc.system.name")
	keyMethod         = attribute.Key("rpc.method")
	keyMethodOriginal = attribute.Key("rpc.method_original")
	keyStatusCode     = attribute.Key("rpc.status_code")
	keyErrorType      = attribute.Key("error.type")
	keyServerAddress  = attribute.Key("server.address")
	keyServerPort     = attribute.Key("server.port")
	keyTransport      = attribute.Key("network.transport")
	keyPeerAddress    = attribute.Key("network.peer.address")
	keyPeerPort       = attribute.Key("network.peer.port")
)

var system = keySystem.String("ttrpc")

// longest is how many bytes of a peer's text a span takes.
const longest = 1024

// spans makes the spans of one end's calls. It is immutable.
type spans struct {
	config
	kind    trace.SpanKind
	tracer  trace.Tracer
	methods *methods.Table[spanOf]

	// Of a client with [ClientOption], else nil.
	server   *serverOf
	measured *metrics // what is measured here, and not by the trace
}

// A spanOf is how the spans of a method begin.
type spanOf struct {
	name   string
	latest atomic.Pointer[beginning]
}

// A beginning is how spans of a method begin on one connection. That of the latest call is
// kept, so that a call makes no attributes.
type beginning struct {
	peer    *ttrpc.Peer // nil if it is not known
	options []trace.SpanStartOption
}

func newSpans(c config, kind trace.SpanKind) *spans {
	return &spans{
		config: c, kind: kind, tracer: c.tracers.Tracer(scope),
		methods: methods.NewTable(func(fullMethod string) *spanOf { return &spanOf{name: strings.TrimPrefix(fullMethod, "/")} }),
	}
}

// takes tells whether calls of a method have spans.
func (s *spans) takes(fullMethod string) bool { return s.filter == nil || s.filter(fullMethod) }

// start begins a span. Of a method that is not kept its own name is an attribute.
func (s *spans) start(ctx context.Context, m *spanOf, fullMethod string, peer *ttrpc.Peer, more ...trace.SpanStartOption) (context.Context, *span) {
	options := s.beginning(m, peer)
	if len(more) > 0 {
		options = append(slices.Clip(options), more...)
	}
	ctx, begun := s.tracer.Start(ctx, m.name, options...)
	if m == s.methods.Other() && begun.IsRecording() {
		begun.SetAttributes(keyMethodOriginal.String(short(strings.TrimPrefix(fullMethod, "/"))))
	}
	return ctx, &span{Span: begun, of: s}
}

func (s *spans) beginning(m *spanOf, peer *ttrpc.Peer) []trace.SpanStartOption {
	if latest := m.latest.Load(); latest != nil && latest.peer == peer {
		return latest.options
	}
	attrs := append([]attribute.KeyValue{system, keyMethod.String(m.name)}, s.ofSpans...)
	attrs = append(attrs, s.connection(peer)...)
	options := []trace.SpanStartOption{trace.WithSpanKind(s.kind), trace.WithAttributes(attrs...)}
	m.latest.Store(&beginning{peer, options})
	return options
}

// connection describes one by its other end; there may be none yet.
func (s *spans) connection(peer *ttrpc.Peer) []attribute.KeyValue {
	if peer == nil {
		return nil
	}
	server := peer.LocalAddr
	if s.kind == trace.SpanKindClient {
		server = peer.Addr
	}
	attrs := addressOf(server, keyServerAddress, keyServerPort)
	attrs = append(attrs, addressOf(peer.Addr, keyPeerAddress, keyPeerPort)...)
	return append(attrs, transportOf(peer.Addr)...)
}

// A span is one that has begun. Its methods may be called concurrently.
type span struct {
	trace.Span
	of             *spans
	sent, received atomic.Int64 // messages
}

// finish ends the span of a call that has ended with a code, and a text unless that is OK.
func (s *span) finish(code codes.Code, text string) {
	if s.IsRecording() {
		served := s.of.kind == trace.SpanKindServer
		if isFailure(code, served) {
			s.SetStatus(otelcodes.Error, short(text))
		}
		s.SetAttributes(outcome(code, served)...)
	}
	s.End()
}

// endIfPanicking ends the span of a function that returns not: it panics, or ends its goroutine.
func (s *span) endIfPanicking(returned *bool) {
	if !*returned {
		s.finish(codes.Internal, "the handler has panicked")
	}
}

// short returns a text of a peer's that is valid and not long.
func short(text string) string {
	if len(text) > longest {
		text = text[:longest]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// A serverOf is where a client's server is: the other end of its latest connection.
type serverOf struct{ peer atomic.Pointer[ttrpc.Peer] }

// connBegins is that of a Trace.
func (s *serverOf) connBegins(c ttrpc.ConnInfo) func(error) {
	s.peer.Store(c.Peer)
	return nil
}

func (s *serverOf) get() *ttrpc.Peer {
	if s == nil {
		return nil
	}
	return s.peer.Load()
}

// transportOf says what an address is of.
func transportOf(a net.Addr) []attribute.KeyValue {
	switch a := a.(type) {
	case nil:
		return nil
	case *net.UDPAddr:
		return []attribute.KeyValue{keyTransport.String("quic")}
	default:
		return []attribute.KeyValue{keyTransport.String(a.Network())}
	}
}

// addressOf describes an address. The end of a unix socket that has dialled has none.
func addressOf(a net.Addr, address, port attribute.Key) []attribute.KeyValue {
	switch a := a.(type) {
	case nil:
		return nil
	case *net.TCPAddr:
		return []attribute.KeyValue{address.String(a.IP.String()), port.Int(a.Port)}
	case *net.UDPAddr:
		return []attribute.KeyValue{address.String(a.IP.String()), port.Int(a.Port)}
	}
	if text := a.String(); text != "" && text != "@" {
		return []attribute.KeyValue{address.String(text)}
	}
	return nil
}

// A carrier is metadata as propagators see it.
type carrier struct{ md ttrpc.MD }

var _ propagation.ValuesGetter = carrier{}

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values, ok := c.md.Get(key); ok {
		return values[0]
	}
	return ""
}

// Values implements propagation.ValuesGetter.
func (c carrier) Values(key string) []string {
	values, _ := c.md.Get(key)
	return values
}

// Set implements propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { c.md.Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c.md))
	for key := range c.md {
		keys = append(keys, key)
	}
	return keys
}
