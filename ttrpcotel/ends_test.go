// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

var both = &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}

// awaitClient waits until the client's span of the only call has ended, and returns its code.
func awaitClient(t *testing.T, p *pair) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, s := range p.spans.GetSpans() {
			if s.SpanKind.String() == "client" {
				return attributesOf(s.Attributes)["rpc.status_code"]
			}
		}
	}
	t.Fatal("B162: the client's span does not end")
	return ""
}

// TestEnds ends streams and calls in ways that no answer tells of.
func TestEnds(t *testing.T) {
	open := func(t *testing.T, ctx context.Context, p *pair) ttrpc.ClientStream {
		s, err := p.client.NewStream(ctx, both, service, "Chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, test := range map[string]struct {
		end  func(t *testing.T, ctx context.Context, cancel func(), p *pair)
		want string
	}{
		"cancelled, and nobody receives": {func(t *testing.T, ctx context.Context, cancel func(), p *pair) {
			open(t, ctx, p)
			cancel()
		}, "CANCELLED"},
		"lost, and somebody receives": {func(t *testing.T, ctx context.Context, _ func(), p *pair) {
			s := open(t, ctx, p)
			p.server.Close()
			s.RecvMsg(new(text))
		}, "UNAVAILABLE"},
		"lost, and somebody sends": {func(t *testing.T, ctx context.Context, _ func(), p *pair) {
			s := open(t, ctx, p)
			p.server.Close()
			for s.SendMsg(nil) == nil {
				time.Sleep(time.Millisecond) // until the loss is noticed
			}
		}, "UNAVAILABLE"},
		"never begun": {func(_ *testing.T, ctx context.Context, _ func(), p *pair) {
			p.client.Close()
			p.client.NewStream(ctx, both, service, "Chat", nil)
		}, "UNAVAILABLE"},
		"a call that is cancelled": {func(_ *testing.T, ctx context.Context, cancel func(), p *pair) {
			time.AfterFunc(time.Millisecond, cancel)
			p.call(ctx, "Wait", "")
		}, "CANCELLED"},
		"a call whose deadline passes": {func(_ *testing.T, ctx context.Context, _ func(), p *pair) {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			p.call(ctx, "Wait", "")
		}, "DEADLINE_EXCEEDED"},
		"a call when the client has closed": {func(_ *testing.T, ctx context.Context, _ func(), p *pair) {
			p.client.Close()
			p.call(ctx, "Greet", "")
		}, "UNAVAILABLE"},
		"a message that is not sent": {func(_ *testing.T, ctx context.Context, _ func(), p *pair) {
			p.call(ctx, "Greet", string(make([]byte, 5<<20)))
		}, "RESOURCE_EXHAUSTED"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, setup{})
			ctx, cancel := context.WithCancel(t.Context())
			test.end(t, ctx, cancel, p)
			if got := awaitClient(t, p); got != test.want {
				t.Errorf("B162: the client's span ends with %s, want %s", got, test.want)
			}
			cancel()
			p.close() // and traces are told of all ends
			points := p.histogram("rpc.client.call.duration")
			if len(points) != 1 || points[0].Count != 1 || attributesOf(points[0].Attributes.ToSlice())["rpc.status_code"] != test.want {
				t.Errorf("B164: the client's metrics are %v, want one call with %s", points, test.want)
			}
		})
	}
}

// TestClientGone has a client vanish while the server receives from it, sends to it, or works: each end
// of a call is told of that as cancelled by the caller, which is no fault of the server's.
func TestClientGone(t *testing.T) {
	handlers := map[string]ttrpc.StreamHandler{
		"receives": func(_ context.Context, s ttrpc.StreamServer) (any, error) { return nil, s.RecvMsg(new(text)) },
		"works":    func(ctx context.Context, _ ttrpc.StreamServer) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
		"sends": func(ctx context.Context, s ttrpc.StreamServer) (any, error) {
			<-ctx.Done()
			return nil, s.SendMsg(new(text))
		},
	}
	for _, extended := range []bool{false, true} {
		for name, handler := range handlers {
			var s setup
			if extended {
				s.server, s.client = []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}, []ttrpc.ClientOpts{ttrpc.WithExtensions()}
			}
			p := newPair(t, s)
			began := make(chan struct{})
			p.server.RegisterService("test.Gone", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"Go": {
				StreamingClient: true, StreamingServer: true,
				Handler: func(ctx context.Context, s ttrpc.StreamServer) (any, error) {
					close(began)
					return handler(ctx, s)
				},
			}}})
			if _, err := p.client.NewStream(t.Context(), both, "test.Gone", "Go", nil); err != nil {
				t.Fatal(err)
			}
			<-began
			p.client.Close()
			_, servers := p.ended()
			if got := attributesOf(servers[0].Attributes); got["rpc.status_code"] != "CANCELLED" || got["error.type"] != "" {
				t.Errorf("B162: %s, extended %t: the server's span has %v", name, extended, got)
			}
			for _, point := range p.histogram("rpc.server.call.duration") {
				if got := attributesOf(point.Attributes.ToSlice()); got["rpc.status_code"] != "CANCELLED" || got["error.type"] != "" {
					t.Errorf("B164: %s, extended %t: the server's metrics have %v", name, extended, got)
				}
			}
		}
	}
}

// TestDial has a client that dials: calls before there is a server, and after that, each count
// once, though one is tried several times.
func TestDial(t *testing.T) {
	p := newPair(t, setup{})
	dir, err := os.MkdirTemp("", "dial")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	nowhere := filepath.Join(dir, "s")
	quietly := ttrpc.WithClientLogger(quiet{})
	for target, want := range map[string]string{nowhere: "UNAVAILABLE", p.socket: "OK"} {
		reader := sdkmetric.NewManualReader()
		opts := append(slices.Clone(p.options), ttrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		c, err := ttrpc.Dial("unix:"+target, ttrpcotel.ClientOption(opts...), ttrpc.WithDialer(ttrpc.Dialer{FailFast: true}), quietly)
		if err != nil {
			t.Fatal(err)
		}
		err = kinds["Greet"](t.Context(), c)
		if (err == nil) != (want == "OK") {
			t.Errorf("%s: %v", target, err)
		}
		c.Close()
		measured := &pair{t: t, reader: reader}
		points := measured.histogram("rpc.client.call.duration")
		if len(points) != 1 || points[0].Count != 1 || attributesOf(points[0].Attributes.ToSlice())["rpc.status_code"] != want {
			t.Errorf("B164: of a client of Dial the metrics are %v, want one call with %s", points, want)
		}
		var last, address string
		for _, s := range p.spans.GetSpans() {
			if s.SpanKind == trace.SpanKindClient {
				attrs := attributesOf(s.Attributes)
				last, address = attrs["rpc.status_code"], attrs["server.address"]
			}
		}
		if last == "OK" && address != target {
			t.Errorf("B162: the server's address is %q, want %q", address, target)
		}
		if last != want {
			t.Errorf("B162: of a client of Dial the span ends with %q, want %s", last, want)
		}
	}
}

// TestGoesOn has a receive that is bounded end, which is not the stream's end, and the stream end once.
func TestGoesOn(t *testing.T) {
	for mode, setup := range modes {
		p := newPair(t, setup)
		ctx, cancel := context.WithCancel(t.Context())
		s, err := p.client.NewStream(ctx, both, service, "Chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		tried, stop := context.WithCancel(t.Context())
		stop()
		if err := s.RecvMsg(ttrpc.Within(tried, new(text))); err == nil {
			t.Fatal("a message has come")
		}
		if n := len(p.spans.GetSpans()); n != 0 {
			t.Errorf("B162: %s: a bounded receive has ended %d spans", mode, n)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(text)); err != io.EOF {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(text)); err != io.EOF {
			t.Fatal(err)
		}
		cancel()
		client, _ := p.one()
		if got := attributesOf(client.Attributes)["rpc.status_code"]; got != "OK" {
			t.Errorf("B162: %s: the span ends with %s", mode, got)
		}
	}
}

// TestPanic has a handler panic: its span ends all the same.
func TestPanic(t *testing.T) {
	p := newPair(t, setup{server: []ttrpc.ServerOpt{ttrpc.WithRecoverPanics(), ttrpc.WithServerLogger(quiet{})}})
	if err := p.call(t.Context(), "Panic", ""); err == nil {
		t.Fatal("no error")
	}
	client, server := p.one()
	if a, b := attributesOf(client.Attributes)["error.type"], attributesOf(server.Attributes)["error.type"]; a != "INTERNAL" || b != "INTERNAL" {
		t.Errorf("B162: the spans end with %s and %s", a, b)
	}
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// TestMetrics holds what is measured: each call once, in seconds, in the buckets that were
// asked for, and nothing that is no call.
func TestMetrics(t *testing.T) {
	for mode, base := range modes {
		base.both = []ttrpcotel.Option{
			ttrpcotel.WithBuckets(ttrpcotel.FineBuckets()...), ttrpcotel.WithMetricAttributes(attribute.String("own", "x")),
		}
		p := newPair(t, base)
		for method, call := range kinds {
			for range 3 {
				if err := call(t.Context(), p.client); err != nil {
					t.Fatal(method, err)
				}
			}
		}
		p.close()
		for _, name := range []string{"rpc.client.call.duration", "rpc.server.call.duration"} {
			points := p.histogram(name)
			var methods []string
			for _, point := range points {
				attrs := attributesOf(point.Attributes.ToSlice())
				methods = append(methods, attrs["rpc.method"])
				if len(attrs) != 4 || attrs["own"] != "x" || attrs["rpc.system.name"] != "ttrpc" || attrs["rpc.status_code"] != "OK" {
					t.Errorf("B164: %s: %s has %v", mode, name, attrs)
				}
				if point.Count != 3 || !slices.Equal(point.Bounds, ttrpcotel.FineBuckets()) || point.Sum <= 0 || point.Sum > 60 {
					t.Errorf("B164: %s: %s has %d calls in %v, which took %v s", mode, name, point.Count, point.Bounds, point.Sum)
				}
			}
			slices.Sort(methods)
			want := []string{service + "/Chat", service + "/Gather", service + "/Greet", service + "/Scatter"}
			if !slices.Equal(methods, want) {
				t.Errorf("B164: %s: %s has %q, want %q", mode, name, methods, want)
			}
		}
	}
}

// TestDefaultBuckets are those of the conventions.
func TestDefaultBuckets(t *testing.T) {
	p := newPair(t, setup{})
	if err := p.call(t.Context(), "Greet", ""); err != nil {
		t.Fatal(err)
	}
	want := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
	if got := p.histogram("rpc.client.call.duration"); len(got) != 1 || !slices.Equal(got[0].Bounds, want) {
		t.Errorf("B164: %v", got)
	}
}

// TestOwnTrace has a program's own trace beside the metrics, and the interceptors and the
// trace alone.
func TestOwnTrace(t *testing.T) {
	var told []string
	own := &ttrpc.Trace{Call: func(c ttrpc.CallInfo) func(error) {
		told = append(told, c.FullMethod)
		return nil
	}}
	p := newPair(t, setup{client: []ttrpc.ClientOpts{ttrpc.WithClientTrace(own)}})
	if err := p.call(t.Context(), "Greet", ""); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || len(p.histogram("rpc.client.call.duration")) != 1 {
		t.Errorf("B164: the program's trace is told of %q, the metrics are %v", told, p.histogram("rpc.client.call.duration"))
	}
	reader := sdkmetric.NewManualReader()
	provider := ttrpcotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	alone := newPair(t, setup{
		untraced: true,
		client:   []ttrpc.ClientOpts{ttrpc.WithClientTrace(ttrpcotel.Trace(provider))},
		server:   []ttrpc.ServerOpt{ttrpc.WithServerTrace(ttrpcotel.Trace(provider))},
	})
	if err := alone.call(t.Context(), "Greet", ""); err != nil {
		t.Fatal(err)
	}
	alone.close()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.ScopeMetrics) != 1 || len(all.ScopeMetrics[0].Metrics) != 2 {
		t.Errorf("B164: two traces have made %v", all.ScopeMetrics)
	}
}

// TestInterceptorsAlone makes spans without the options.
func TestInterceptorsAlone(t *testing.T) {
	from := newPair(t, setup{})
	opts := []ttrpcotel.Option{ttrpcotel.WithTracerProvider(from.tracer)}
	p := newPair(t, setup{
		untraced: true,
		client: []ttrpc.ClientOpts{
			ttrpc.WithUnaryClientInterceptor(ttrpcotel.UnaryClientInterceptor(opts...)),
			ttrpc.WithChainStreamClientInterceptor(ttrpcotel.StreamClientInterceptor(opts...)),
		},
		server: []ttrpc.ServerOpt{
			ttrpc.WithUnaryServerInterceptor(ttrpcotel.UnaryServerInterceptor(opts...)),
			ttrpc.WithChainStreamServerInterceptor(ttrpcotel.StreamServerInterceptor(opts...)),
		},
	})
	for _, call := range kinds {
		if err := call(t.Context(), p.client); err != nil {
			t.Fatal(err)
		}
	}
	p.close()
	if got := len(from.spans.GetSpans()); got != 8 {
		t.Errorf("B162: there are %d spans, want one at each end of four calls", got)
	}
}

// TestRefused holds that options which cannot be are refused where they are made.
func TestRefused(t *testing.T) {
	for name, option := range map[string]func(){
		"tracer":     func() { ttrpcotel.WithTracerProvider(nil) },
		"meter":      func() { ttrpcotel.WithMeterProvider(nil) },
		"propagator": func() { ttrpcotel.WithPropagators(nil) },
		"filter":     func() { ttrpcotel.WithFilter(nil) },
		"no buckets": func() { ttrpcotel.WithBuckets() },
		"falling":    func() { ttrpcotel.WithBuckets(1, 2, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("B162: %s is not refused", name)
				}
			}()
			option()
		}()
	}
	if _, err := ttrpc.NewServer(ttrpc.WithPeerClientOptions(ttrpcotel.ClientOption())); err == nil {
		t.Error("B162: ClientOption is taken by WithPeerClientOptions, whose connections it cannot see")
	}
}

// TestPanicThrough has what the interceptors call panic, or end its goroutine: all spans end.
func TestPanicThrough(t *testing.T) {
	p := newPair(t, setup{})
	ctx := t.Context()
	boom := func() { panic("on purpose") }
	for i, f := range []func(){
		func() {
			ttrpcotel.UnaryServerInterceptor(p.options...)(ctx, nil, &ttrpc.UnaryServerInfo{FullMethod: "/a/b"},
				func(context.Context, func(any) error) (any, error) { boom(); return nil, nil })
		},
		func() {
			ttrpcotel.StreamServerInterceptor(p.options...)(ctx, nil, &ttrpc.StreamServerInfo{FullMethod: "/a/b"},
				func(context.Context, ttrpc.StreamServer) (any, error) { runtime.Goexit(); return nil, nil })
		},
		func() {
			ttrpcotel.UnaryClientInterceptor(p.options...)(ctx, new(ttrpc.Request), new(ttrpc.Response), &ttrpc.UnaryClientInfo{FullMethod: "/a/b"},
				func(context.Context, *ttrpc.Request, *ttrpc.Response) error { boom(); return nil })
		},
		func() {
			ttrpcotel.StreamClientInterceptor(p.options...)(ctx, both, "/a/b",
				func(context.Context, *ttrpc.StreamDesc, string) (ttrpc.ClientStream, error) { boom(); return nil, nil })
		},
	} {
		var all sync.WaitGroup
		all.Go(func() {
			defer func() { recover() }()
			f()
		})
		all.Wait()
		spans := p.spans.GetSpans()
		if len(spans) != i+1 || attributesOf(spans[i].Attributes)["error.type"] != "INTERNAL" {
			t.Errorf("B162: after number %d that panics there are the spans %v", i, spans)
		}
	}
}

// TestLeft holds that the span of a stream that its caller has left ends when the stream is garbage,
// also if the context goes on.
func TestLeft(t *testing.T) {
	p := newPair(t, setup{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := p.client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, service, "Chat", nil); err != nil {
		t.Fatal(err)
	}
	clients := func() (all tracetest.SpanStubs) {
		for _, s := range p.spans.GetSpans() {
			if s.SpanKind == trace.SpanKindClient {
				all = append(all, s)
			}
		}
		return all
	}
	for deadline := time.Now().Add(10 * time.Second); len(clients()) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC() // nothing signals that something is garbage
	}
	if spans := clients(); len(spans) != 1 || spans[0].Status.Code != otelcodes.Error {
		t.Errorf("B162: the spans are %v", spans)
	}
}
