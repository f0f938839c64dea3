// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel"
)

// A server and a client whose calls are traced and measured.
func Example() {
	// Once in a program. A real one has an exporter: otlptracegrpc, for example.
	exporter := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	defer tracers.Shutdown(context.Background())
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	defer meters.Shutdown(context.Background())
	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	server, err := ttrpc.NewServer(ttrpcotel.ServerOption(ttrpcotel.WithBuckets(ttrpcotel.FineBuckets()...)))
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
			name := new(wrapperspb.StringValue)
			if err := unmarshal(name); err != nil {
				return nil, err
			}
			return wrapperspb.String("hello " + name.Value), nil
		},
	})
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "greeter.sock"))
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpcotel.ClientOption(ttrpcotel.WithBuckets(ttrpcotel.FineBuckets()...)))
	greeting := new(wrapperspb.StringValue)
	if err := client.Call(context.Background(), "example.Greeter", "Greet", wrapperspb.String("Ada"), greeting); err != nil {
		log.Fatal(err)
	}
	client.Close()
	server.Shutdown(context.Background())

	for _, span := range exporter.GetSpans() {
		fmt.Println(span.SpanKind, span.Name)
	}
	// Unordered output:
	// client example.Greeter/Greet
	// server example.Greeter/Greet
}

// Messages as events, health checks left out, and a server whose callers are not trusted.
func ExampleServerOption() {
	_, err := ttrpc.NewServer(ttrpcotel.ServerOption(
		ttrpcotel.WithMessageEvents(ttrpcotel.ReceivedEvents, ttrpcotel.SentEvents),
		ttrpcotel.WithFilter(func(fullMethod string) bool { return fullMethod != "/grpc.health.v1.Health/Check" }),
		ttrpcotel.WithPublicEndpoint(),
	))
	fmt.Println(err)
	// Output: <nil>
}

// For code that wants an interceptor, as otelttrpc has it: spans without metrics.
func ExampleUnaryServerInterceptor() {
	_, err := ttrpc.NewServer(
		ttrpc.WithChainUnaryServerInterceptor(ttrpcotel.UnaryServerInterceptor()),
		ttrpc.WithChainStreamServerInterceptor(ttrpcotel.StreamServerInterceptor()),
	)
	fmt.Println(err)
	// Output: <nil>
}

// Metrics without spans, beside a trace of the program's own.
func ExampleTrace() {
	own := &ttrpc.Trace{Conn: func(ttrpc.ConnInfo) func(error) { return nil }}
	_, err := ttrpc.NewServer(ttrpc.WithServerTrace(ttrpcotel.Trace()), ttrpc.WithServerTrace(own))
	fmt.Println(err)
	// Output: <nil>
}
