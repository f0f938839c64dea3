// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package otel tests otelttrpc's interceptors, which trace calls with OpenTelemetry.
package otel

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/otelttrpc"
	"github.com/containerd/ttrpc"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "users.Traced"

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

// A bench is a client and a server whose calls are traced.
type bench struct {
	client   *ttrpc.Client
	provider *sdktrace.TracerProvider
	spans    *tracetest.InMemoryExporter
	stop     func() // returns when all handlers' spans have ended
}

// newBench serves methods until the test ends.
func newBench(t *testing.T, methods map[string]ttrpc.Method) *bench {
	t.Helper()
	b := &bench{spans: tracetest.NewInMemoryExporter()}
	b.provider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.spans))
	options := []otelttrpc.Option{
		otelttrpc.WithTracerProvider(b.provider),
		otelttrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
		otelttrpc.WithMessageEvents(otelttrpc.ReceivedEvents, otelttrpc.SentEvents),
	}
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(otelttrpc.UnaryServerInterceptor(options...)))
	if err != nil {
		t.Fatal(err)
	}
	server.Register(service, methods)
	dir, err := os.MkdirTemp("", "otel")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b.client = ttrpc.NewClient(conn, ttrpc.WithUnaryClientInterceptor(otelttrpc.UnaryClientInterceptor(options...)))
	b.stop = sync.OnceFunc(func() {
		// While the connection lasts, handlers are waited for.
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("B25: Shutdown returned %v", err)
		}
		b.client.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("B24: Serve returned %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) call(ctx context.Context, method, text string) error {
	return b.client.Call(ctx, service, method, wrapperspb.String(text), new(wrapperspb.StringValue))
}

// pairs returns the spans of clients, with those of servers by whose parent they are.
func (b *bench) pairs(t *testing.T) (clients tracetest.SpanStubs, servers map[trace.SpanID]tracetest.SpanStub) {
	t.Helper()
	b.stop()
	servers = make(map[trace.SpanID]tracetest.SpanStub)
	for _, s := range b.spans.GetSpans() {
		switch s.SpanKind {
		case trace.SpanKindClient:
			clients = append(clients, s)
		case trace.SpanKindServer:
			servers[s.Parent.SpanID()] = s
		}
	}
	if len(servers) != len(clients) {
		t.Fatalf("B14: there are %d spans of clients, and %d of servers with parents of their own", len(clients), len(servers))
	}
	return clients, servers
}

// linked sees to it that a server's span continues that of its client.
func linked(t *testing.T, client, server tracetest.SpanStub) {
	t.Helper()
	if server.Parent.SpanID() != client.SpanContext.SpanID() || server.SpanContext.TraceID() != client.SpanContext.TraceID() {
		t.Errorf("B14: the server's span is %v below %v, the client's %v", server.SpanContext, server.Parent, client.SpanContext)
	}
	if !server.Parent.IsRemote() {
		t.Error("B14: the parent of the server's span is not remote")
	}
	if client.Name != server.Name {
		t.Errorf("B27: the spans are called %q and %q", client.Name, server.Name)
	}
}

func code(s tracetest.SpanStub) codes.Code {
	for _, a := range s.Attributes {
		if a.Key == attribute.Key("rpc.ttrpc.status_code") {
			return codes.Code(a.Value.AsInt64())
		}
	}
	return 999
}

func echo(_ context.Context, unmarshal func(any) error) (any, error) {
	in := new(wrapperspb.StringValue)
	return in, unmarshal(in)
}

// TestSpans makes a call below a span of the caller's, with metadata and baggage.
func TestSpans(t *testing.T) {
	var got ttrpc.MD
	b := newBench(t, map[string]ttrpc.Method{"Get": func(ctx context.Context, unmarshal func(any) error) (any, error) {
		got, _ = ttrpc.GetMetadata(ctx)
		return echo(ctx, unmarshal)
	}})
	ctx, root := b.provider.Tracer("test").Start(t.Context(), "root")
	own := ttrpc.MD{"key": {"one", "two"}}
	if err := b.call(ttrpc.WithMetadata(ctx, own), "Get", "x"); err != nil {
		t.Fatal(err)
	}
	root.End()
	clients, servers := b.pairs(t)
	if len(clients) != 1 {
		t.Fatalf("there are %d spans of clients", len(clients))
	}
	client := clients[0]
	server := servers[client.SpanContext.SpanID()]
	linked(t, client, server)
	if client.Parent.SpanID() != root.SpanContext().SpanID() {
		t.Error("the client's span is not below the caller's")
	}
	if want := service + "/Get"; client.Name != want {
		t.Errorf("B27: the spans are called %q, want %q", client.Name, want)
	}
	if code(client) != codes.OK || code(server) != codes.OK || len(client.Events) != 2 || len(server.Events) != 2 {
		t.Errorf("the spans are\n%v\n%v", client, server)
	}
	if values, _ := got.Get("key"); len(values) != 2 || values[0] != "one" || values[1] != "two" {
		t.Errorf("B14: the metadata that arrived is %v", got)
	}
	if len(own) != 1 {
		t.Errorf("B15: the caller's metadata has become %v", own)
	}
}

// TestStatus has calls fail at the server. Interceptors of clients find the status in
// the Response, as ever, and no error, so otelttrpc takes the call for a good one.
func TestStatus(t *testing.T) {
	b := newBench(t, map[string]ttrpc.Method{
		"NotFound": func(context.Context, func(any) error) (any, error) { return nil, status.Error(codes.NotFound, "none") },
		"Internal": func(context.Context, func(any) error) (any, error) {
			return nil, status.Error(codes.Internal, "broken")
		},
	})
	want := map[string]codes.Code{"NotFound": codes.NotFound, "Internal": codes.Internal, "None": codes.Unimplemented}
	for method, c := range want {
		if err := b.call(t.Context(), method, ""); status.Code(err) != c {
			t.Errorf("B9: %s: %v", method, err)
		}
	}
	b.stop()
	served := 0
	for _, s := range b.spans.GetSpans() {
		method := strings.TrimPrefix(s.Name, service+"/")
		if s.SpanKind == trace.SpanKindClient {
			if code(s) != codes.OK || s.Status.Code != otelcodes.Unset {
				t.Errorf("%s: the client's span has %v, %v", method, code(s), s.Status)
			}
			continue
		}
		served++
		// Not all codes are errors of a server to otelttrpc.
		status := sdktrace.Status{}
		if method == "Internal" {
			status = sdktrace.Status{Code: otelcodes.Error, Description: "broken"}
		}
		if code(s) != want[method] || s.Status != status {
			t.Errorf("%s: the server's span has %v, %v", method, code(s), s.Status)
		}
	}
	if served != 2 {
		t.Errorf("B10: there are %d spans of the server, want one for each method that it has", served)
	}
}

// TestClientError has a call end before there is an answer: that is an error of the
// client's span.
func TestClientError(t *testing.T) {
	entered, released := make(chan struct{}), make(chan struct{})
	b := newBench(t, map[string]ttrpc.Method{"Hold": func(ctx context.Context, unmarshal func(any) error) (any, error) {
		close(entered)
		<-released
		return echo(ctx, unmarshal)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if err := b.call(ctx, "Hold", ""); err != context.Canceled {
		t.Errorf("B4: %v", err)
	}
	close(released)
	clients, servers := b.pairs(t)
	if len(clients) != 1 {
		t.Fatalf("there are %d spans of clients", len(clients))
	}
	linked(t, clients[0], servers[clients[0].SpanContext.SpanID()])
	if s := clients[0].Status; s.Code != otelcodes.Error || s.Description != context.Canceled.Error() {
		t.Errorf("B4: the status of the client's span is %v", s)
	}
}

// TestManyCalls makes many calls at once, with one metadata for all.
func TestManyCalls(t *testing.T) {
	const callers, each = 16, 20
	b := newBench(t, map[string]ttrpc.Method{"Get": echo})
	ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{"key": {"value"}})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				if err := b.call(ctx, "Get", "x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	clients, servers := b.pairs(t)
	if len(clients) != callers*each {
		t.Errorf("there are %d spans of clients, want %d", len(clients), callers*each)
	}
	for _, client := range clients {
		linked(t, client, servers[client.SpanContext.SpanID()])
	}
}
