// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/debugpage"
	"github.com/containerd/ttrpc/health"
	"github.com/containerd/ttrpc/reflection"
	"github.com/containerd/ttrpc/ttrpcotel"
	"github.com/containerd/ttrpc/ttrpcotel/ttrpcprom"
)

// A watched is all that can be attached to the servers and clients of a process to look at them:
// page, spans and metrics. A nil one is off.
type watched struct {
	page   *debugpage.Page
	spans  spanCount
	otel   []ttrpcotel.Option
	reader *metric.ManualReader
	server *ttrpcprom.ServerMetrics
	client *ttrpcprom.ClientMetrics
	all    *prometheus.Registry
	looks  int
}

func newWatched() *watched {
	w := &watched{
		page: debugpage.New(), reader: metric.NewManualReader(),
		server: ttrpcprom.NewServerMetrics(), client: ttrpcprom.NewClientMetrics(), all: prometheus.NewRegistry(),
	}
	w.all.MustRegister(w.server, w.client)
	w.otel = []ttrpcotel.Option{
		ttrpcotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(&w.spans))),
		ttrpcotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(w.reader))),
	}
	return w
}

func (w *watched) serverOptions() []ttrpc.ServerOpt {
	if w == nil {
		return nil
	}
	return []ttrpc.ServerOpt{ttrpc.WithServerTrace(w.page.Trace()), ttrpcotel.ServerOption(w.otel...), w.server.Option()}
}

// show has a server shown until the function that it returns is called.
func (w *watched) show(name string, server *ttrpc.Server) (remove func()) {
	if w == nil {
		return func() {}
	}
	health.New().Register(server)
	reflection.Register(server)
	return w.page.AddServer(name, server)
}

func (w *watched) clientOptions() []ttrpc.ClientOpts {
	if w == nil {
		return nil
	}
	return []ttrpc.ClientOpts{ttrpc.WithClientTrace(w.page.Trace()), ttrpcotel.ClientOption(w.otel...), w.client.Option()}
}

// A shown is what is read of the page's JSON.
type shown struct {
	Methods []struct {
		Method  string
		Running uint64
	}
	Opened, Ended uint64
}

// look asks for the page and the metrics, and begins a recording that most often nobody ends.
func (w *watched) look() error {
	w.looks++
	form := url.Values{"action": {[]string{"record", "record", "record", "stop", "forget"}[w.looks%5]}, "seconds": {"60"}}
	if _, err := w.ask(http.MethodPost, "/", form.Encode()); err != nil {
		return err
	}
	if text, err := w.ask(http.MethodGet, "/", ""); err != nil || !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
		return fmt.Errorf("B160: the page is not whole: %v", err)
	}
	if _, err := w.report(); err != nil {
		return err
	}
	if _, err := w.all.Gather(); err != nil {
		return fmt.Errorf("B166: %w", err)
	}
	return w.reader.Collect(context.Background(), new(metricdata.ResourceMetrics))
}

// rest holds, when no call is under way, that each that was told of has ended.
func (w *watched) rest() error {
	if w == nil {
		return nil
	}
	r, err := w.report()
	if err != nil {
		return err
	}
	for _, m := range r.Methods {
		if m.Running != 0 {
			return fmt.Errorf("B160: on the page %d calls of %s run, of none that do", m.Running, m.Method)
		}
	}
	// The spans of streams that are left end when these are garbage, which nothing signals.
	for deadline := time.Now().Add(quietLimit); ; time.Sleep(pollInterval) {
		begun, ended := w.spans.begun.Load(), w.spans.ended.Load()
		switch {
		case begun == ended && begun > 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("B162: %d spans have begun, %d have ended", begun, ended)
		}
		runtime.GC()
	}
}

func (w *watched) report() (r shown, err error) {
	text, err := w.ask(http.MethodGet, "/?format=json", "")
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	return r, err
}

func (w *watched) ask(method, path, body string) (string, error) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer := httptest.NewRecorder()
	w.page.ServeHTTP(answer, r)
	if answer.Code >= 400 {
		return "", fmt.Errorf("B160: %s %s: %d, %s", method, path, answer.Code, answer.Body)
	}
	return answer.Body.String(), nil
}

// A spanCount is a span processor that counts.
type spanCount struct{ begun, ended atomic.Int64 }

// OnStart implements sdktrace.SpanProcessor.
func (c *spanCount) OnStart(context.Context, sdktrace.ReadWriteSpan) { c.begun.Add(1) }

// OnEnd implements sdktrace.SpanProcessor.
func (c *spanCount) OnEnd(sdktrace.ReadOnlySpan) { c.ended.Add(1) }

// Shutdown implements sdktrace.SpanProcessor.
func (c *spanCount) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (c *spanCount) ForceFlush(context.Context) error { return nil }
