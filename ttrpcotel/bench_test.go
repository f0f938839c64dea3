// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel"
)

// BenchmarkCall makes calls over a unix socket whose both ends are in this process: without
// the options, with metrics alone, with spans that are not sampled, and with all.
func BenchmarkCall(b *testing.B) {
	provide := func(sampler sdktrace.Sampler) []ttrpcotel.Option {
		return []ttrpcotel.Option{
			ttrpcotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(dropped{}))),
			ttrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
			ttrpcotel.WithPropagators(propagation.TraceContext{}),
		}
	}
	measured := provide(sdktrace.NeverSample())
	for _, row := range []struct {
		name string
		setup
	}{
		{"untraced", setup{untraced: true}},
		{"intercepted", setup{ // by what does nothing: what the library's own path for interceptors costs
			untraced: true,
			client: []ttrpc.ClientOpts{ttrpc.WithUnaryClientInterceptor(
				func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
					req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
					return invoke(ctx, req, resp)
				})},
			server: []ttrpc.ServerOpt{ttrpc.WithUnaryServerInterceptor(
				func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
					return method(ctx, unmarshal)
				})},
		}},
		{"measured", setup{
			untraced: true,
			client:   []ttrpc.ClientOpts{ttrpc.WithClientTrace(ttrpcotel.Trace(measured...))},
			server:   []ttrpc.ServerOpt{ttrpc.WithServerTrace(ttrpcotel.Trace(measured...))},
		}},
		{"unsampled", setup{both: measured}},
		{"traced", setup{both: provide(sdktrace.AlwaysSample())}},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := newPair(b, row.setup)
			defer p.close()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.call(context.Background(), "Greet", "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// dropped is what has spans recorded and drops them: exporters work beside calls.
type dropped struct{}

func (dropped) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (dropped) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (dropped) Shutdown(context.Context) error                  { return nil }
func (dropped) ForceFlush(context.Context) error                { return nil }

// BenchmarkEnd is what tracing adds to a call at one end, without the call.
func BenchmarkEnd(b *testing.B) {
	opts := []ttrpcotel.Option{
		ttrpcotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(dropped{}))),
		ttrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
		ttrpcotel.WithPropagators(propagation.TraceContext{}),
	}
	const method = "/" + service + "/Greet"
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		call := ttrpcotel.UnaryClientInterceptor(opts...)
		info := &ttrpc.UnaryClientInfo{FullMethod: method}
		invoke := func(context.Context, *ttrpc.Request, *ttrpc.Response) error { return nil }
		for b.Loop() {
			if err := call(context.Background(), new(ttrpc.Request), new(ttrpc.Response), info, invoke); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("server", func(b *testing.B) {
		b.ReportAllocs()
		serve := ttrpcotel.UnaryServerInterceptor(opts...)
		info := &ttrpc.UnaryServerInfo{FullMethod: method}
		handler := func(context.Context, func(any) error) (any, error) { return nil, nil }
		ctx := ttrpc.WithMetadata(context.Background(), ttrpc.MD{"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
		for b.Loop() {
			if _, err := serve(ctx, func(any) error { return nil }, info, handler); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("metrics", func(b *testing.B) {
		b.ReportAllocs()
		begin := ttrpcotel.Trace(opts...).Call
		for b.Loop() {
			begin(ttrpc.CallInfo{FullMethod: method, Served: true, Known: true})(nil)
		}
	})
}
