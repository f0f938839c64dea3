// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcprom

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/methods"
)

// metrics is what both ends have.
type metrics struct {
	started, handled, received, sent *prometheus.CounterVec
	handling                         *prometheus.HistogramVec
	methods                          *methods.Table[methodOf]
}

// A methodOf is what is counted of a method, by the kind of its calls: they are all of one,
// but for those of unknown methods.
type methodOf struct {
	service, method string
	kinds           [4]atomic.Pointer[kindOf]
}

// A kindOf is what is counted of one kind of a method's calls.
type kindOf struct {
	labels                  []string
	started, received, sent prometheus.Counter
	handling                prometheus.Observer
	handled                 [codes.Unauthenticated + 1]atomic.Pointer[prometheus.Counter]
}

// kindNames are the kinds, by 1 if the client streams and 2 if the server does.
var kindNames = [4]string{"unary", "client_stream", "server_stream", "bidi_stream"}

func newMetrics(side string, opts []Option) metrics {
	c := config{prefix: "grpc_", label: "grpc_", buckets: []float64{
		.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005,
		.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
	}}
	for _, opt := range opts {
		opt(&c)
	}
	labels := []string{c.label + "type", c.label + "service", c.label + "method"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: c.prefix + side + "_" + name, Help: help, ConstLabels: c.constant,
		}, append(labels[:3:3], more...))
	}
	return metrics{
		started:  counter("started_total", "Calls that have begun at the "+side+"."),
		handled:  counter("handled_total", "Calls that have ended at the "+side+", with success or not.", c.label+"code"),
		received: counter("msg_received_total", "Messages that the "+side+" has received."),
		sent:     counter("msg_sent_total", "Messages that the "+side+" has sent."),
		handling: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: c.prefix + side + "_handling_seconds", Help: "How long calls that have ended took at the " + side + ".",
			ConstLabels: c.constant, Buckets: c.buckets,
		}, labels),
		methods: methods.NewTable(func(fullMethod string) *methodOf {
			i := strings.LastIndexByte(fullMethod, '/')
			if i < 0 {
				return &methodOf{service: fullMethod, method: fullMethod}
			}
			return &methodOf{service: strings.TrimPrefix(fullMethod[:i], "/"), method: fullMethod[i+1:]}
		}),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.each(func(c prometheus.Collector) { c.Describe(ch) })
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.each(func(c prometheus.Collector) { c.Collect(ch) })
}

func (m *metrics) each(f func(prometheus.Collector)) {
	for _, c := range []prometheus.Collector{m.started, m.handled, m.received, m.sent, m.handling} {
		f(c)
	}
}

// find returns what is counted of calls of a method. It is kept if the method is known, or
// the program's own choice.
func (m *metrics) find(fullMethod string, known, unary, streamingClient, streamingServer bool) *kindOf {
	return m.kindOf(m.methods.Find(fullMethod, known), unary, streamingClient, streamingServer)
}

func (m *metrics) kindOf(of *methodOf, unary, streamingClient, streamingServer bool) *kindOf {
	kind := 0
	if !unary && streamingClient {
		kind |= 1
	}
	if !unary && streamingServer {
		kind |= 2
	}
	if k := of.kinds[kind].Load(); k != nil {
		return k
	}
	labels := []string{kindNames[kind], of.service, of.method}
	of.kinds[kind].CompareAndSwap(nil, &kindOf{
		labels: labels, started: m.started.WithLabelValues(labels...),
		received: m.received.WithLabelValues(labels...), sent: m.sent.WithLabelValues(labels...),
		handling: m.handling.WithLabelValues(labels...),
	})
	return of.kinds[kind].Load()
}

// handledOf returns the counter of calls that have ended with a code.
func (m *metrics) handledOf(k *kindOf, code int) prometheus.Counter {
	if code >= len(k.handled) { // which a peer can make up
		code = int(codes.Unknown)
	}
	if c := k.handled[code].Load(); c != nil {
		return *c
	}
	c := m.handled.WithLabelValues(append(k.labels[:3:3], codes.Code(code).String())...)
	k.handled[code].Store(&c)
	return c
}

// end returns what is called when a call ends that begins now. If it is unary and succeeds, an
// answer has come or gone. codeOf tells the code of what has ended it.
func (m *metrics) end(k *kindOf, unary bool, answers prometheus.Counter, codeOf func(error) codes.Code) func(error) {
	began := time.Now()
	return func(err error) {
		if err == nil && unary {
			answers.Inc()
		}
		m.handledOf(k, int(codeOf(err))).Inc()
		k.handling.Observe(time.Since(began).Seconds())
	}
}

// callServed is told by a server's trace.
func (m *metrics) callServed(info ttrpc.CallInfo) func(error) {
	if !info.Served {
		return nil
	}
	of := m.methods.Other()
	if info.Known {
		of = m.methods.Find(info.FullMethod, true)
	}
	k := m.kindOf(of, info.Unary, info.StreamingClient, info.StreamingServer)
	k.started.Inc()
	if info.Unary {
		k.received.Inc()
	}
	return m.end(k, info.Unary, k.sent, methods.Served)
}

// streamMade is told by a client's trace. It leaves unary calls to an interceptor, which sees
// also those for which there is no connection.
func (m *metrics) streamMade(info ttrpc.CallInfo) func(error) {
	if info.Served || info.Unary {
		return nil
	}
	k := m.find(info.FullMethod, false, false, info.StreamingClient, info.StreamingServer)
	k.started.Inc()
	return m.end(k, false, k.received, status.Code)
}

// callUnary is a [ttrpc.UnaryClientInterceptor].
func (m *metrics) callUnary(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	k := m.find(info.FullMethod, false, true, false, false)
	k.started.Inc()
	k.sent.Inc()
	end := m.end(k, true, k.received, status.Code)
	err := invoke(ctx, req, resp)
	end(status.Error(methods.Called(err, resp))) // which is nil if that is OK
	return err
}
