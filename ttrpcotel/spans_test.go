// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcotel_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpcotel"
)

// kinds makes one call of each kind, to its end.
var kinds = map[string]func(ctx context.Context, c *ttrpc.Client) error{
	"Greet": func(ctx context.Context, c *ttrpc.Client) error {
		return c.Call(ctx, service, "Greet", wrapperspb.String("x"), new(text))
	},
	"Chat": func(ctx context.Context, c *ttrpc.Client) error {
		s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, service, "Chat", nil)
		if err != nil {
			return err
		}
		for range 3 {
			if err := s.SendMsg(wrapperspb.String("x")); err != nil {
				return err
			}
			if err := s.RecvMsg(new(text)); err != nil {
				return err
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		return wantEOF(s)
	},
	"Gather": func(ctx context.Context, c *ttrpc.Client) error {
		s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true}, service, "Gather", nil)
		if err != nil {
			return err
		}
		for range 3 {
			if err := s.SendMsg(wrapperspb.String("x")); err != nil {
				return err
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		return s.RecvMsg(new(text)) // one answer, and nothing after it
	},
	"Scatter": func(ctx context.Context, c *ttrpc.Client) error {
		s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, service, "Scatter", wrapperspb.String("x"))
		if err != nil {
			return err
		}
		for range 3 {
			if err := s.RecvMsg(new(text)); err != nil {
				return err
			}
		}
		return wantEOF(s)
	},
}

func wantEOF(s ttrpc.ClientStream) error {
	if err := s.RecvMsg(new(text)); err != io.EOF {
		return fmt.Errorf("the stream ends with %v", err)
	}
	return nil
}

// modes are the options by which a connection is classic or in extended mode.
var modes = map[string]setup{
	"classic":  {},
	"extended": {client: []ttrpc.ClientOpts{ttrpc.WithExtensions()}, server: []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}},
}

// TestSpans makes each kind of call below a span of the caller's, with metadata and baggage.
func TestSpans(t *testing.T) {
	for mode, setup := range modes {
		for method, call := range kinds {
			t.Run(mode+"/"+method, func(t *testing.T) {
				p := newPair(t, setup)
				ctx, root := p.tracer.Tracer("test").Start(t.Context(), "root")
				member, _ := baggage.NewMember("key", "value")
				bag, _ := baggage.New(member)
				ctx = baggage.ContextWithBaggage(ctx, bag)
				own := ttrpc.MD{"key": {"one", "two"}, "traceparent": {"of another time"}}
				before := fmt.Sprint(own)
				ctx = ttrpc.WithMetadata(ctx, own)
				attached, _ := ttrpc.GetMetadata(ctx)
				if err := call(ctx, p.client); err != nil {
					t.Fatal(err)
				}
				root.End()
				client, server := p.one()
				wantPair(t, client, server, service+"/"+method)
				if client.Parent.SpanID() != root.SpanContext().SpanID() {
					t.Error("B163: the client's span is not below the caller's")
				}
				if fmt.Sprint(own) != before || fmt.Sprint(attached) != before {
					t.Errorf("B163: the caller's metadata has become %v, and that of its context %v", own, attached)
				}
				want := map[string]string{
					"rpc.system.name": "ttrpc", "rpc.method": service + "/" + method, "rpc.status_code": "OK",
					"server.address": p.socket, "network.transport": "unix",
				}
				if got := attributesOf(server.Attributes); !maps.Equal(got, want) {
					t.Errorf("B162: the server's span has\n%v, want\n%v", got, want)
				}
				want["network.peer.address"] = p.socket
				if got := attributesOf(client.Attributes); !maps.Equal(got, want) {
					t.Errorf("B162: the client's span has\n%v, want\n%v", got, want)
				}
			})
		}
	}
}

// wantPair holds that a server's span continues that of its client.
func wantPair(t *testing.T, client, server tracetest.SpanStub, name string) {
	t.Helper()
	if client.Name != name || server.Name != name {
		t.Errorf("B162: the spans are called %q and %q, want %q", client.Name, server.Name, name)
	}
	if server.Parent.SpanID() != client.SpanContext.SpanID() || server.SpanContext.TraceID() != client.SpanContext.TraceID() {
		t.Errorf("B163: the server's span is %v below %v, the client's %v", server.SpanContext, server.Parent, client.SpanContext)
	}
	if !server.Parent.IsRemote() {
		t.Error("B163: the parent of the server's span is not remote")
	}
}

// TestAddresses has one option for the clients of two servers: each one's spans have its own
// server's address, whoever called before.
func TestAddresses(t *testing.T) {
	one, two := newPair(t, setup{}), newPair(t, setup{})
	option := ttrpcotel.ClientOption(one.options...)
	want := []string{one.socket, two.socket, one.socket}
	var clients []*ttrpc.Client
	for _, p := range []*pair{one, two} {
		conn, err := net.Dial("unix", p.socket)
		if err != nil {
			t.Fatal(err)
		}
		c := ttrpc.NewClient(conn, option)
		defer c.Close()
		clients = append(clients, c)
	}
	for _, c := range []*ttrpc.Client{clients[0], clients[1], clients[0]} {
		if err := kinds["Greet"](t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, s := range one.spans.GetSpans() {
		if s.SpanKind == trace.SpanKindClient {
			got = append(got, attributesOf(s.Attributes)["server.address"])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("B162: the spans have the addresses %q, want %q", got, want)
	}
}

// TestTCP has the addresses of a server with a port.
func TestTCP(t *testing.T) {
	p := newPair(t, setup{addresses: "tcp"})
	if err := p.call(t.Context(), "Greet", "x"); err != nil {
		t.Fatal(err)
	}
	client, server := p.one()
	for kind, s := range map[string]tracetest.SpanStub{"client": client, "server": server} {
		got := attributesOf(s.Attributes)
		for _, key := range []string{"server.address", "network.peer.address"} {
			if got[key] != "127.0.0.1" {
				t.Errorf("B162: %s: %s is %q", kind, key, got[key])
			}
		}
		if got["network.transport"] != "tcp" || got["server.port"] == "" || got["server.port"] == "0" || got["network.peer.port"] == "" {
			t.Errorf("B162: %s: %v", kind, got)
		}
	}
}

// TestCodes has calls and streams end with each code.
func TestCodes(t *testing.T) {
	atServer := map[string]bool{"UNKNOWN": true, "DEADLINE_EXCEEDED": true, "UNIMPLEMENTED": true, "INTERNAL": true, "UNAVAILABLE": true, "DATA_LOSS": true}
	names := map[string]string{"own code": "UNKNOWN", "EOF": "OUT_OF_RANGE"} // what is asked for, and what it is called
	for i, name := range []string{
		"", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	} {
		if i > 0 {
			names[codes.Code(i).String()] = name
		}
	}
	for _, method := range []string{"Greet", "Chat"} {
		p := newPair(t, setup{})
		for ask, name := range names {
			var err error
			if method == "Greet" {
				err = p.call(t.Context(), "Greet", ask)
			} else if s, failed := p.client.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, service, "Chat", wrapperspb.String(ask)); failed != nil {
				t.Fatal(failed)
			} else {
				err = s.RecvMsg(new(text))
			}
			if err == nil {
				t.Fatalf("%s does not fail", ask)
			}
			for client, spans := range endedOf(p) {
				s := spans[len(spans)-1]
				got := attributesOf(s.Attributes)
				failed := client || atServer[name]
				want := map[bool]string{true: name}[failed]
				if got["rpc.status_code"] != name || got["error.type"] != want || (s.Status.Code == otelcodes.Error) != failed {
					t.Errorf("B162: %s %q, client %t: %v %v, want %s and error %t", method, ask, client, got, s.Status, name, failed)
				}
				if failed && ask != "EOF" && s.Status.Description == "" {
					t.Errorf("B162: %s %q, client %t: no text", method, ask, client)
				}
			}
		}
		for name, points := range map[string]int{"rpc.client.call.duration": 16, "rpc.server.call.duration": 16} {
			got := p.histogram(name)
			if len(got) != points {
				t.Errorf("B164: %s has %d points, want %d", name, len(got), points)
			}
			for _, point := range got {
				attrs := attributesOf(point.Attributes.ToSlice())
				code := attrs["rpc.status_code"]
				want := map[bool]string{true: code}[strings.Contains(name, "client") || atServer[code]]
				if attrs["error.type"] != want {
					t.Errorf("B164: %s of %s has %v", name, code, attrs)
				}
			}
		}
		p.close()
	}
}

// endedOf waits for a new span of each end, and returns all by whether they are a client's.
func endedOf(p *pair) map[bool]tracetest.SpanStubs {
	for {
		all := map[bool]tracetest.SpanStubs{}
		for _, s := range p.spans.GetSpans() {
			all[s.SpanKind.String() == "client"] = append(all[s.SpanKind.String() == "client"], s)
		}
		if len(all[true]) == len(all[false]) && len(all[true]) > 0 {
			return all
		}
	}
}

// TestManyCalls makes calls and streams at once with one metadata for all: it is neither
// changed nor read where another may change it.
func TestManyCalls(t *testing.T) {
	const callers, each = 8, 10
	p := newPair(t, setup{})
	ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{"key": {"value"}})
	var all sync.WaitGroup
	for range callers {
		for _, call := range kinds {
			all.Go(func() {
				for range each {
					if err := call(ctx, p.client); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	clients, servers := p.ended()
	if len(clients) != callers*each*len(kinds) || len(servers) != len(clients) {
		t.Errorf("B163: there are %d and %d spans", len(clients), len(servers))
	}
	above := map[string]string{}
	for _, s := range servers {
		above[s.Parent.SpanID().String()] = s.Name
	}
	for _, c := range clients {
		if above[c.SpanContext.SpanID().String()] != c.Name {
			t.Errorf("B163: no server's span is below %s", c.Name)
		}
	}
}

// TestHandlersCalls has a handler's context used for the next call, with all metadata that
// has come: that is below the handler's span, and not below its caller's.
func TestHandlersCalls(t *testing.T) {
	back := newPair(t, setup{})
	front := newPair(t, setup{server: []ttrpc.ServerOpt{ttrpc.WithUnknownServiceHandler(
		func(ctx context.Context, call *ttrpc.UnknownCall, s ttrpc.StreamServer) (any, error) {
			m := new(text)
			return m, back.client.Call(ctx, service, "Metadata", m, m)
		})}})
	m := new(text)
	if err := front.client.Call(t.Context(), "other.Service", "Method", m, m); err != nil {
		t.Fatal(err)
	}
	_, handler := front.one()
	client, server := back.one()
	if client.Parent.SpanID() != handler.SpanContext.SpanID() || !strings.Contains(m.Value, client.SpanContext.SpanID().String()) {
		t.Errorf("B163: the second call is below %v, and has sent %q", client.Parent, m.Value)
	}
	wantPair(t, client, server, service+"/Metadata")
}

// TestUnknown has a client make up names: these are no names of spans and no labels.
func TestUnknown(t *testing.T) {
	for _, handled := range []bool{false, true} {
		var opts []ttrpc.ServerOpt
		want := codes.Unimplemented
		if handled {
			want = codes.Aborted
			opts = append(opts, ttrpc.WithUnknownServiceHandler(func(context.Context, *ttrpc.UnknownCall, ttrpc.StreamServer) (any, error) {
				return nil, status.Error(want, "seen")
			}))
		}
		p := newPair(t, setup{server: opts})
		long := strings.Repeat("long", 1000)
		for i := range 1200 {
			name := fmt.Sprint("made.Up", i, long[:i])
			if err := p.client.Call(t.Context(), name, "M", new(text), new(text)); status.Code(err) != want {
				t.Fatal(err)
			}
		}
		points := p.histogram("rpc.server.call.duration")
		if len(points) != 1 || points[0].Count != 1200 || attributesOf(points[0].Attributes.ToSlice())["rpc.method"] != "_OTHER" {
			t.Errorf("B165: the server's metrics are %v", points)
		}
		clients, servers := p.ended()
		// The names of clients are the program's own, as long as there are not too many.
		names := map[string]int{}
		for _, s := range clients {
			names[s.Name]++
		}
		if len(names) > 1001 || names["_OTHER"] == 0 || names["made.Up0/M"] != 1 {
			t.Errorf("B165: clients' spans have %d names", len(names))
		}
		if len(p.histogram("rpc.client.call.duration")) != len(names) {
			t.Errorf("B165: clients' metrics have %d names, spans %d", len(p.histogram("rpc.client.call.duration")), len(names))
		}
		if handled != (len(servers) == 1200) {
			t.Fatalf("B165: there are %d spans of the server", len(servers))
		}
		for i, s := range servers {
			original := fmt.Sprint("made.Up", i, long[:i], "/M")
			original = original[:min(len(original), 1024)]
			if got := attributesOf(s.Attributes); s.Name != "_OTHER" || got["rpc.method"] != "_OTHER" || got["rpc.method_original"] != original {
				t.Errorf("B165: span %q of call %d has %v", s.Name, i, got)
				break
			}
		}
	}
}

// TestEvents has messages be events, of each kind of call and at both ends.
func TestEvents(t *testing.T) {
	counts := map[string][2]int{"Greet": {1, 1}, "Chat": {3, 3}, "Gather": {3, 1}, "Scatter": {1, 3}} // requests, answers
	for method, call := range kinds {
		for _, want := range [][]ttrpcotel.MessageEvent{nil, {ttrpcotel.SentEvents}, {ttrpcotel.SentEvents, ttrpcotel.ReceivedEvents}} {
			p := newPair(t, setup{both: []ttrpcotel.Option{ttrpcotel.WithMessageEvents(want...)}})
			if err := call(t.Context(), p.client); err != nil {
				t.Fatal(err)
			}
			client, server := p.one()
			requests, answers := counts[method][0], counts[method][1]
			wantEvents(t, method+", client", client, want, requests, answers)
			wantEvents(t, method+", server", server, want, answers, requests)
		}
	}
}

func wantEvents(t *testing.T, what string, s tracetest.SpanStub, want []ttrpcotel.MessageEvent, sent, received int) {
	t.Helper()
	got := map[string]int{}
	for _, e := range s.Events {
		attrs := attributesOf(e.Attributes)
		way := attrs["rpc.message.type"]
		got[way]++
		if e.Name != "message" || attrs["rpc.message.id"] != fmt.Sprint(got[way]) || attrs["rpc.message.uncompressed_size"] == "" && what != "Scatter, client" {
			t.Errorf("B162: %s: event %v", what, e)
		}
	}
	wanted := map[string]int{}
	for _, w := range want {
		if w == ttrpcotel.SentEvents && sent > 0 {
			wanted["SENT"] = sent
		}
		if w == ttrpcotel.ReceivedEvents && received > 0 {
			wanted["RECEIVED"] = received
		}
	}
	if !maps.Equal(got, wanted) {
		t.Errorf("B162: %s: messages %v, want %v", what, got, wanted)
	}
}

// TestFilter leaves out calls at both ends.
func TestFilter(t *testing.T) {
	p := newPair(t, setup{both: []ttrpcotel.Option{ttrpcotel.WithFilter(func(m string) bool { return m != "/"+service+"/Greet" && m != "/"+service+"/Gather" })}})
	for _, call := range kinds {
		if err := call(t.Context(), p.client); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(p.histogram("rpc.client.call.duration")); got != 2 {
		t.Errorf("B164: there are %d metrics", got)
	}
	clients, servers := p.ended()
	if len(clients) != 2 || len(servers) != 2 {
		t.Errorf("B162: there are %d and %d spans", len(clients), len(servers))
	}
}

// TestPublicEndpoint has a server begin traces of its own.
func TestPublicEndpoint(t *testing.T) {
	p := newPair(t, setup{both: []ttrpcotel.Option{ttrpcotel.WithPublicEndpoint(), ttrpcotel.WithSpanAttributes(attribute.String("own", "x"))}})
	if err := p.call(t.Context(), "Greet", "x"); err != nil {
		t.Fatal(err)
	}
	client, server := p.one()
	if server.Parent.IsValid() || server.SpanContext.TraceID() == client.SpanContext.TraceID() {
		t.Errorf("B163: the server's span is below %v", server.Parent)
	}
	if len(server.Links) != 1 || server.Links[0].SpanContext.SpanID() != client.SpanContext.SpanID() {
		t.Errorf("B163: the server's span has links %v", server.Links)
	}
	if attributesOf(server.Attributes)["own"] != "x" || attributesOf(client.Attributes)["own"] != "x" {
		t.Error("B162: an attribute of the program's is missing")
	}
}

// TestMalformed has callers send what is no trace: calls go on, and spans begin traces of
// their own.
func TestMalformed(t *testing.T) {
	for name, md := range map[string]ttrpc.MD{
		"empty":    {"traceparent": {""}},
		"short":    {"traceparent": {"00-0af7651916cd43dd8448eb211c80319c"}},
		"zeros":    {"traceparent": {"00-00000000000000000000000000000000-0000000000000000-01"}},
		"not hex":  {"traceparent": {"00-zzf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
		"large":    {"traceparent": {strings.Repeat("0", 1<<20)}, "tracestate": {strings.Repeat("a=b,", 1<<18)}, "baggage": {strings.Repeat("k=v,", 1<<18)}},
		"no text":  {"traceparent": {"\x01"}, "baggage": {"\x00"}},
		"two bags": {"baggage": {"a=b", "c=d"}},
	} {
		p := newPair(t, setup{})
		conn, err := net.Dial("unix", p.socket)
		if err != nil {
			t.Fatal(err)
		}
		c := ttrpc.NewClient(conn) // which is not traced
		for _, call := range kinds {
			if err := call(ttrpc.WithMetadata(t.Context(), md), c); err != nil {
				t.Errorf("B163: %s: %v", name, err)
			}
		}
		c.Close()
		_, servers := p.ended()
		if len(servers) != len(kinds) {
			t.Errorf("B163: %s: there are %d spans", name, len(servers))
		}
		for _, s := range servers {
			if s.Parent.IsValid() || !s.SpanContext.IsValid() {
				t.Errorf("B163: %s: a span is below %v", name, s.Parent)
			}
		}
	}
}
