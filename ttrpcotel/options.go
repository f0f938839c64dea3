// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// An Option says how to trace and measure. Of one that is given twice the last counts.
type Option func(*config)

type config struct {
	tracers     trace.TracerProvider
	meters      metric.MeterProvider
	propagators propagation.TextMapPropagator
	filter      func(fullMethod string) bool // nil takes all
	public      bool
	sent        bool // messages that are sent are events
	received    bool
	buckets     []float64 // in seconds

	ofSpans, ofMetrics []attribute.KeyValue
}

func newConfig(opts []Option) config {
	c := config{
		tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), propagators: otel.GetTextMapPropagator(),
		buckets: []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10},
	}
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

// WithTracerProvider has spans made by p. The default is that of package otel when the option
// or the interceptor is made.
func WithTracerProvider(p trace.TracerProvider) Option {
	refuse(p == nil, "the tracer provider is nil")
	return func(c *config) { c.tracers = p }
}

// WithMeterProvider has metrics recorded by p. The default is that of package otel when the
// option or the trace is made.
func WithMeterProvider(p metric.MeterProvider) Option {
	refuse(p == nil, "the meter provider is nil")
	return func(c *config) { c.meters = p }
}

// WithPropagators has p write the trace into calls' metadata and read it from there. The
// default is that of package otel when the option or the interceptor is made; that is none if
// the program has set none.
func WithPropagators(p propagation.TextMapPropagator) Option {
	refuse(p == nil, "the propagator is nil")
	return func(c *config) { c.propagators = p }
}

// WithFilter leaves out of spans and metrics each call for which keep returns false. It is
// given "/package.Service/Method", which at a server may be whatever a client has sent, and
// may be called concurrently. Such a call passes no trace on.
func WithFilter(keep func(fullMethod string) bool) Option {
	refuse(keep == nil, "the filter is nil")
	return func(c *config) { c.filter = keep }
}

// WithPublicEndpoint has each span of a server begin a trace of its own, with a link to the
// caller's: for servers whose callers are not trusted to choose traces, or whether they are
// sampled.
func WithPublicEndpoint() Option { return func(c *config) { c.public = true } }

// A MessageEvent is a kind of messages that are events of spans.
type MessageEvent int

const (
	ReceivedEvents MessageEvent = iota // ReceivedEvents are those that were received.
	SentEvents                         // SentEvents are those that were sent.
)

// WithMessageEvents has spans have an event for each message of these kinds: "message", with
// rpc.message.type (SENT or RECEIVED), rpc.message.id, which counts from 1 for each kind, and, if it is
// known, rpc.message.uncompressed_size in bytes. By default there are none.
func WithMessageEvents(events ...MessageEvent) Option {
	return func(c *config) {
		c.sent, c.received = false, false
		for _, e := range events {
			switch e {
			case SentEvents:
				c.sent = true
			case ReceivedEvents:
				c.received = true
			}
		}
	}
}

// WithBuckets sets the bounds of the histograms' buckets, in seconds, rising. The default is
// that of the conventions, which begins at 5 ms: most calls of ttrpc take less. See [FineBuckets].
func WithBuckets(bounds ...float64) Option {
	refuse(len(bounds) == 0, "there are no buckets")
	for i, b := range bounds[1:] {
		refuse(b <= bounds[i], "the buckets do not rise")
	}
	return func(c *config) { c.buckets = bounds }
}

// FineBuckets returns bounds for [WithBuckets] from 10 µs, which is what a call takes, to 10 s.
func FineBuckets() []float64 {
	return []float64{
		.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005,
		.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
	}
}

// WithSpanAttributes adds attributes to all spans.
func WithSpanAttributes(attrs ...attribute.KeyValue) Option {
	return func(c *config) { c.ofSpans = append(c.ofSpans, attrs...) }
}

// WithMetricAttributes adds attributes to all metrics: server.address, for example, which
// metrics do not have by themselves, as a program that has clients of many short-lived
// servers would keep a time series of each.
func WithMetricAttributes(attrs ...attribute.KeyValue) Option {
	return func(c *config) { c.ofMetrics = append(c.ofMetrics, attrs...) }
}

// refuse panics with what is wrong with an option.
func refuse(wrong bool, why string) {
	if wrong {
		panic("ttrpcotel: " + why)
	}
}
