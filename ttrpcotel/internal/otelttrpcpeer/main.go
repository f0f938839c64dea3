// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command otelttrpcpeer is a program with the release v1.2.10 and otelttrpc v0.1.0, for the
// tests of package ttrpcotel.
//
//	otelttrpcpeer serve SOCKET
//	otelttrpcpeer call SOCKET MESSAGE
//
// It writes each span that has ended as a line of JSON. The server ends with its input.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/containerd/otelttrpc"
	"github.com/containerd/ttrpc"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "test.Greeter"

func main() {
	log.SetFlags(0)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(lines{}))
	options := []otelttrpc.Option{
		otelttrpc.WithTracerProvider(provider),
		otelttrpc.WithPropagators(propagation.TraceContext{}),
	}
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		serve(os.Args[2], options)
	case len(os.Args) == 4 && os.Args[1] == "call":
		call(os.Args[2], os.Args[3], provider, options)
	default:
		log.Fatal("usage: otelttrpcpeer serve SOCKET | call SOCKET MESSAGE")
	}
}

func serve(socket string, options []otelttrpc.Option) {
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(otelttrpc.UnaryServerInterceptor(options...)))
	if err != nil {
		log.Fatal(err)
	}
	server.Register(service, map[string]ttrpc.Method{"Greet": greet})
	l, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

func greet(_ context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.StringValue)
	if err := unmarshal(m); err != nil {
		return nil, err
	}
	if m.Value == "nobody" {
		return nil, status.Error(codes.NotFound, "there is nobody")
	}
	return wrapperspb.String("hello " + m.Value), nil
}

func call(socket, message string, provider *sdktrace.TracerProvider, options []otelttrpc.Option) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn, ttrpc.WithUnaryClientInterceptor(otelttrpc.UnaryClientInterceptor(options...)))
	ctx, root := provider.Tracer("program").Start(context.Background(), "root")
	client.Call(ctx, service, "Greet", wrapperspb.String(message), new(wrapperspb.StringValue))
	root.End()
}

// lines writes spans.
type lines struct{}

// ExportSpans implements sdktrace.SpanExporter.
func (lines) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		attributes := map[string]string{}
		for _, a := range s.Attributes() {
			attributes[string(a.Key)] = a.Value.String()
		}
		line, err := json.Marshal(map[string]any{
			"Name": s.Name(), "Kind": s.SpanKind().String(), "Trace": s.SpanContext().TraceID().String(), "ID": s.SpanContext().SpanID().String(),
			"Parent": s.Parent().SpanID().String(), "Status": s.Status().Code.String(), "Attributes": attributes,
		})
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (lines) Shutdown(context.Context) error { return nil }
