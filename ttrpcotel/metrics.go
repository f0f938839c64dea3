// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
	"github.com/containerd/ttrpc/internal/wire"
)

// metrics measures calls in both directions.
type metrics struct {
	config
	calls, served direction // that this end makes, and that it serves
}

// A direction is the calls that this end makes, or those that it serves. It is immutable.
type direction struct {
	duration metric.Float64Histogram
	methods  *methods.Table[metricsOf]
}

// A metricsOf has the attributes of a method's calls, made at the first that ends with that
// code.
type metricsOf struct {
	name    string
	options [len(codeNames)]atomic.Pointer[[]metric.RecordOption]
}

func newMetrics(c config) *metrics {
	meter := c.meters.Meter(scope)
	direct := func(name, description string) direction {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(c.buckets...))
		if err != nil { // of the name or the provider; h does nothing
			otel.Handle(err)
		}
		return direction{h, methods.NewTable(func(fullMethod string) *metricsOf {
			return &metricsOf{name: strings.TrimPrefix(fullMethod, "/")}
		})}
	}
	return &metrics{
		config: c,
		calls:  direct("rpc.client.call.duration", "How long outgoing calls take."),
		served: direct("rpc.server.call.duration", "How long incoming calls take."),
	}
}

// trace returns what tells of all calls.
func (m *metrics) trace() *ttrpc.Trace { return &ttrpc.Trace{Call: m.callBegins} }

// callBegins is that of a Trace.
func (m *metrics) callBegins(info ttrpc.CallInfo) func(error) {
	if info.FullMethod == helloMethod || m.filter != nil && !m.filter(info.FullMethod) {
		return nil
	}
	d, codeOf := &m.calls, status.Code
	if info.Served {
		d, codeOf = &m.served, methods.Served
	}
	of := d.methods.Other()
	if info.Known || !info.Served {
		of = d.methods.Find(info.FullMethod, info.Known)
	}
	began := time.Now()
	return func(err error) { m.record(context.Background(), d, of, codeOf(err), began) }
}

// streamBegins is callBegins without a client's unary calls: an interceptor measures those,
// as it sees also what never gets to a connection, and what is tried twice as one.
func (m *metrics) streamBegins(info ttrpc.CallInfo) func(error) {
	if info.Unary && !info.Served {
		return nil
	}
	return m.callBegins(info)
}

// made records a client's call, or a stream that could not be opened, unless m is nil.
func (m *metrics) made(ctx context.Context, fullMethod string, code codes.Code, began time.Time) {
	if m != nil {
		m.record(ctx, &m.calls, m.calls.methods.Find(fullMethod, false), code, began)
	}
}

func (m *metrics) record(ctx context.Context, d *direction, of *metricsOf, code codes.Code, began time.Time) {
	d.duration.Record(ctx, time.Since(began).Seconds(), m.optionsOf(of, codeIndex(code), d == &m.served)...)
}

// helloMethod agrees on the extended mode, and is no call of anybody's.
const helloMethod = "/" + wire.HelloService + "/" + wire.HelloMethod

func (m *metrics) optionsOf(of *metricsOf, code int, served bool) []metric.RecordOption {
	if options := of.options[code].Load(); options != nil {
		return *options
	}
	attrs := append([]attribute.KeyValue{system, keyMethod.String(of.name)}, m.ofMetrics...)
	attrs = append(attrs, outcome(codes.Code(code), served)...)
	options := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	of.options[code].Store(&options)
	return options
}
