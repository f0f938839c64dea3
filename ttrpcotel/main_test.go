// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/ttrpcotel"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

const service = "test.Greeter"

type text = wrapperspb.StringValue

// A pair is a client and a server over a socket, which are traced and measured.
type pair struct {
	t      testing.TB
	client *ttrpc.Client
	server *ttrpc.Server
	socket string
	spans  *tracetest.InMemoryExporter
	tracer *sdktrace.TracerProvider
	reader *sdkmetric.ManualReader
	close  func()

	options []ttrpcotel.Option
}

type setup struct {
	both      []ttrpcotel.Option
	client    []ttrpc.ClientOpts
	server    []ttrpc.ServerOpt
	untraced  bool // no end has the options
	addresses string
}

func newPair(t testing.TB, s setup) *pair {
	t.Helper()
	p := &pair{t: t, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	p.tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(p.spans))
	opts := append([]ttrpcotel.Option{
		ttrpcotel.WithTracerProvider(p.tracer),
		ttrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(p.reader))),
		ttrpcotel.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	}, s.both...)
	p.options = opts
	clients, servers := s.client, s.server
	if !s.untraced {
		clients = append([]ttrpc.ClientOpts{ttrpcotel.ClientOption(opts...)}, clients...)
		servers = append([]ttrpc.ServerOpt{ttrpcotel.ServerOption(opts...)}, servers...)
	}
	var err error
	if p.server, err = ttrpc.NewServer(servers...); err != nil {
		t.Fatal(err)
	}
	p.server.RegisterService(service, greeter())
	dir, err := os.MkdirTemp("", "otel")
	if err != nil {
		t.Fatal(err)
	}
	p.socket = filepath.Join(dir, "s")
	network, address := "unix", p.socket
	if s.addresses == "tcp" {
		network, address = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(context.Background(), l) }()
	conn, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.client = ttrpc.NewClient(conn, clients...)
	closed := false
	p.close = func() {
		if closed {
			return
		}
		closed = true
		p.client.Close()
		if err := p.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		os.RemoveAll(dir)
	}
	t.Cleanup(p.close)
	return p
}

func (p *pair) call(ctx context.Context, method, m string) error {
	return p.client.Call(ctx, service, method, wrapperspb.String(m), new(text))
}

// ended returns the spans of both ends, once all have ended, by kind.
func (p *pair) ended() (clients, servers tracetest.SpanStubs) {
	p.t.Helper()
	p.close()
	for _, s := range p.spans.GetSpans() {
		switch s.SpanKind {
		case trace.SpanKindClient:
			clients = append(clients, s)
		case trace.SpanKindServer:
			servers = append(servers, s)
		}
	}
	return clients, servers
}

// one returns the span of each end of the only call.
func (p *pair) one() (client, server tracetest.SpanStub) {
	p.t.Helper()
	clients, servers := p.ended()
	if len(clients) != 1 || len(servers) != 1 {
		p.t.Fatalf("B162: there are %d spans of clients and %d of servers: %v", len(clients), len(servers), p.spans.GetSpans())
	}
	return clients[0], servers[0]
}

// histogram returns the points of a metric.
func (p *pair) histogram(name string) []metricdata.HistogramDataPoint[float64] {
	p.t.Helper()
	var all metricdata.ResourceMetrics
	if err := p.reader.Collect(context.Background(), &all); err != nil {
		p.t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			if m.Unit != "s" {
				p.t.Errorf("B164: %s is in %q", name, m.Unit)
			}
			return m.Data.(metricdata.Histogram[float64]).DataPoints
		}
	}
	return nil
}

// attributesOf writes attributes by their keys.
func attributesOf(attrs []attribute.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, a := range attrs {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// greeter is a service with all kinds of calls. Each fails if it is sent "code N".
func greeter() *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
				m := new(text)
				if err := unmarshal(m); err != nil {
					return nil, err
				}
				return wrapperspb.String("hello " + m.Value), failure(m.Value)
			},
			"Metadata": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				value, _ := ttrpc.GetMetadataValue(ctx, "traceparent")
				return wrapperspb.String(value), unmarshal(new(text))
			},
			"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"Panic": func(context.Context, func(any) error) (any, error) { panic("on purpose") },
		},
		Streams: map[string]ttrpc.Stream{
			"Chat":    {Handler: chat, StreamingClient: true, StreamingServer: true},
			"Gather":  {Handler: gather, StreamingClient: true},
			"Scatter": {Handler: scatter, StreamingServer: true},
		},
	}
}

// failure returns the status that a message asks for.
func failure(m string) error {
	for code := codes.Code(0); code < 17; code++ {
		if m == code.String() {
			return status.Error(code, "as asked")
		}
	}
	if m == "own code" {
		return status.Error(99, "made up")
	}
	if m == "EOF" {
		return io.EOF
	}
	return nil
}

func chat(_ context.Context, s ttrpc.StreamServer) (any, error) {
	for {
		m := new(text)
		switch err := s.RecvMsg(m); {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		case failure(m.Value) != nil:
			return nil, failure(m.Value)
		}
		if err := s.SendMsg(m); err != nil {
			return nil, err
		}
	}
}

func gather(_ context.Context, s ttrpc.StreamServer) (any, error) {
	all := new(text)
	for {
		m := new(text)
		switch err := s.RecvMsg(m); {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, err
		}
		all.Value += m.Value
	}
}

func scatter(_ context.Context, s ttrpc.StreamServer) (any, error) {
	m := new(text)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	for range 3 {
		if err := s.SendMsg(m); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
