// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpcprom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/leak"
	"github.com/containerd/ttrpc/ttrpcotel/ttrpcprom"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

type text = wrapperspb.StringValue

func echo(_ context.Context, s ttrpc.StreamServer) (any, error) {
	last := new(text)
	for {
		m := new(text)
		if err := s.RecvMsg(m); err == io.EOF {
			return last, nil
		} else if err != nil {
			return nil, err
		}
		if last = m; m.Value == "fail" {
			return nil, status.Error(codes.Aborted, "as asked")
		}
		if err := s.SendMsg(m); err != nil && !errors.Is(err, ttrpc.ErrProtocol) { // where the server does not stream
			return nil, err
		}
	}
}

// serve serves until the test ends, and returns a client. Without metrics nothing is counted.
func serve(t testing.TB, client *ttrpcprom.ClientMetrics, server *ttrpcprom.ServerMetrics, extended bool) *ttrpc.Client {
	t.Helper()
	var opts []ttrpc.ServerOpt
	var clients []ttrpc.ClientOpts
	if client != nil {
		opts, clients = append(opts, server.Option()), append(clients, client.Option())
	}
	if extended {
		opts, clients = append(opts, ttrpc.WithServerExtensions()), append(clients, ttrpc.WithExtensions())
	}
	s, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService("a.B", &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Unary": func(_ context.Context, unmarshal func(any) error) (any, error) {
			m := new(text)
			if err := unmarshal(m); err != nil {
				return nil, err
			}
			switch m.Value {
			case "fail":
				return nil, status.Error(codes.NotFound, "as asked")
			case "own":
				return nil, status.Error(99, "made up")
			}
			return m, nil
		}},
		Streams: map[string]ttrpc.Stream{
			"Client": {Handler: echo, StreamingClient: true},
			"Server": {Handler: echo, StreamingServer: true},
			"Bidi":   {Handler: echo, StreamingClient: true, StreamingServer: true},
		},
	})
	if server != nil {
		server.Initialize(s)
	}
	dir, err := os.MkdirTemp("", "prom")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := ttrpc.NewClient(conn, clients...)
	t.Cleanup(func() {
		c.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
		os.RemoveAll(dir)
	})
	return c
}

// stream sends messages, receives until the end, and returns that.
func stream(t *testing.T, c *ttrpc.Client, method string, desc *ttrpc.StreamDesc, messages ...string) error {
	t.Helper()
	var first any
	if !desc.StreamingClient {
		first, messages = wrapperspb.String(messages[0]), nil
	}
	s, err := c.NewStream(t.Context(), desc, "a.B", method, first)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := s.SendMsg(wrapperspb.String(m)); err != nil {
			t.Fatal(err)
		}
	}
	if desc.StreamingClient {
		s.CloseSend()
	}
	for {
		if err := s.RecvMsg(new(text)); err != nil {
			return err
		}
	}
}

// gather returns what is not zero, as Prometheus reads it; of histograms the counts.
func gather(t *testing.T, r *prometheus.Registry, zeros bool) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.Metric {
			value := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value == 0 && !zeros {
				continue
			}
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			lines = append(lines, fmt.Sprintf("%s{%s} %v", f.GetName(), strings.Join(labels, ","), value))
		}
	}
	return lines
}

func calls(t *testing.T, c *ttrpc.Client) {
	t.Helper()
	for _, m := range []string{"x", "y", "fail", "own"} {
		c.Call(t.Context(), "a.B", "Unary", wrapperspb.String(m), new(text))
	}
	c.Call(t.Context(), "a.B", "None", new(text), new(text))
	c.Call(t.Context(), "no.Such", "Thing", new(text), new(text))
	both := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	if err := stream(t, c, "Bidi", both, "1", "2", "3"); err != io.EOF {
		t.Fatal(err)
	}
	if err := stream(t, c, "Bidi", both, "fail"); status.Code(err) != codes.Aborted {
		t.Fatal(err)
	}
	if err := stream(t, c, "Client", &ttrpc.StreamDesc{StreamingClient: true}, "1", "2"); err != io.EOF {
		t.Fatal(err)
	}
	if err := stream(t, c, "Server", &ttrpc.StreamDesc{StreamingServer: true}, "1"); err != io.EOF {
		t.Fatal(err)
	}
}

// want are the metrics of calls, with SIDE for the end.
const want = `
grpc_SIDE_handled_total{grpc_code=Aborted,grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 1
grpc_SIDE_handled_total{grpc_code=NotFound,grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 1
grpc_SIDE_handled_total{grpc_code=OK,grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 1
grpc_SIDE_handled_total{grpc_code=OK,grpc_method=Client,grpc_service=a.B,grpc_type=client_stream} 1
grpc_SIDE_handled_total{grpc_code=OK,grpc_method=Server,grpc_service=a.B,grpc_type=server_stream} 1
grpc_SIDE_handled_total{grpc_code=OK,grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 2
grpc_SIDE_handled_total{grpc_code=Unknown,grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 1
grpc_SIDE_handling_seconds{grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 2
grpc_SIDE_handling_seconds{grpc_method=Client,grpc_service=a.B,grpc_type=client_stream} 1
grpc_SIDE_handling_seconds{grpc_method=Server,grpc_service=a.B,grpc_type=server_stream} 1
grpc_SIDE_handling_seconds{grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 4
grpc_SIDE_started_total{grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 2
grpc_SIDE_started_total{grpc_method=Client,grpc_service=a.B,grpc_type=client_stream} 1
grpc_SIDE_started_total{grpc_method=Server,grpc_service=a.B,grpc_type=server_stream} 1
grpc_SIDE_started_total{grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 4
`

// requests and answers are the messages of these calls.
const requests = `
grpc_SIDE_msg_WAY_total{grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 4
grpc_SIDE_msg_WAY_total{grpc_method=Client,grpc_service=a.B,grpc_type=client_stream} 2
grpc_SIDE_msg_WAY_total{grpc_method=Server,grpc_service=a.B,grpc_type=server_stream} 1
grpc_SIDE_msg_WAY_total{grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 4
`

const answers = `
grpc_SIDE_msg_WAY_total{grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 3
grpc_SIDE_msg_WAY_total{grpc_method=Client,grpc_service=a.B,grpc_type=client_stream} 1
grpc_SIDE_msg_WAY_total{grpc_method=Server,grpc_service=a.B,grpc_type=server_stream} 1
grpc_SIDE_msg_WAY_total{grpc_method=Unary,grpc_service=a.B,grpc_type=unary} 2
`

// TestCounts makes all kinds of calls, in both modes.
func TestCounts(t *testing.T) {
	for _, extended := range []bool{false, true} {
		client, server := ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(client, server)
		t.Run(fmt.Sprint(extended), func(t *testing.T) { calls(t, serve(t, client, server, extended)) })
		var got []string
		for _, line := range gather(t, r, false) {
			if !strings.Contains(line, "_OTHER") && !strings.Contains(line, "None") && !strings.Contains(line, "no.Such") {
				got = append(got, line)
			}
		}
		slices.Sort(got)
		var all []string
		for side, ways := range map[string][2]string{"client": {"sent", "received"}, "server": {"received", "sent"}} {
			text := want + strings.ReplaceAll(requests, "WAY", ways[0]) + strings.ReplaceAll(answers, "WAY", ways[1])
			for _, line := range strings.Split(strings.ReplaceAll(text, "SIDE", side), "\n") {
				if line != "" {
					all = append(all, line)
				}
			}
		}
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("B166: extended %t: the metrics are\n%s\n\nwant\n%s", extended, strings.Join(got, "\n"), strings.Join(all, "\n"))
		}
		for _, line := range gather(t, r, false) {
			if strings.HasPrefix(line, "grpc_server_handled_total{grpc_code=Unimplemented") && line != "grpc_server_handled_total{grpc_code=Unimplemented,grpc_method=_OTHER,grpc_service=_OTHER,grpc_type=unary} 2" {
				t.Errorf("B165: an unknown method is %s", line)
			}
		}
	}
}

// TestInitialize has zeros for each method and code before the first call.
func TestInitialize(t *testing.T) {
	client, server := ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
	serve(t, client, server, false)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(server)
	lines := gather(t, r, true)
	if want := 4 * (17 + 4); len(lines) != want { // codes, and the other metrics, of four methods
		t.Errorf("B166: there are %d metrics, want %d:\n%s", len(lines), want, strings.Join(lines, "\n"))
	}
}

// TestOptions has other names beside the usual ones, labels and buckets.
func TestOptions(t *testing.T) {
	client, server := ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
	own := ttrpcprom.NewServerMetrics(ttrpcprom.WithPrefix("ttrpc"), ttrpcprom.WithConstLabels(prometheus.Labels{"daemon": "d"}), ttrpcprom.WithBuckets(1, 2))
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(client, server, own)
	c := serve(t, client, own, false)
	if err := c.Call(t.Context(), "a.B", "Unary", wrapperspb.String("x"), new(text)); err != nil {
		t.Fatal(err)
	}
	const line = "ttrpc_server_started_total{daemon=d,method=Unary,service=a.B,type=unary} 1"
	if lines := gather(t, r, false); !slices.Contains(lines, line) {
		t.Errorf("B166: the metrics are\n%s\nwant\n%s", strings.Join(lines, "\n"), line)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.Metric[0].GetHistogram().GetBucket()); f.GetName() == "ttrpc_server_handling_seconds" && n != 2 {
			t.Errorf("B166: there are %d buckets", n)
		}
	}
}

// TestMadeUp has a client call what it likes: the server's metrics do not grow.
func TestMadeUp(t *testing.T) {
	client, server := ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
	c := serve(t, client, server, false)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(server)
	before := len(gather(t, r, true))
	for i := range 300 {
		c.Call(t.Context(), fmt.Sprint("made.Up", i), "M", new(text), new(text))
	}
	if after := len(gather(t, r, true)); after > before+5 {
		t.Errorf("B165: the server has %d metrics, and had %d", after, before)
	}
}

// TestClosed has calls for which there is no connection: they count.
func TestClosed(t *testing.T) {
	client, server := ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
	c := serve(t, client, server, false)
	c.Close()
	c.Call(t.Context(), "a.B", "Unary", new(text), new(text))
	c.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingServer: true}, "a.B", "Server", nil)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(client)
	lines := gather(t, r, false)
	for kind, method := range map[string]string{"unary": "Unary", "server_stream": "Server"} {
		for _, want := range []string{
			"grpc_client_started_total{grpc_method=" + method + ",grpc_service=a.B,grpc_type=" + kind + "} 1",
			"grpc_client_handled_total{grpc_code=Unavailable,grpc_method=" + method + ",grpc_service=a.B,grpc_type=" + kind + "} 1",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("B166: the metrics are\n%s\nwant %s", strings.Join(lines, "\n"), want)
			}
		}
	}
}

// TestClientGone has a client vanish amid a stream: that counts as cancelled.
func TestClientGone(t *testing.T) {
	server := ttrpcprom.NewServerMetrics()
	c := serve(t, ttrpcprom.NewClientMetrics(), server, false)
	s, err := c.NewStream(t.Context(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "a.B", "Bidi", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(wrapperspb.String("a")), s.RecvMsg(new(text))); err != nil {
		t.Fatal(err)
	}
	c.Close()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(server)
	var handled []string
	for deadline := time.Now().Add(time.Minute); len(handled) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, line := range gather(t, r, false) {
			if strings.HasPrefix(line, "grpc_server_handled_total") {
				handled = append(handled, line)
			}
		}
	}
	want := []string{"grpc_server_handled_total{grpc_code=Canceled,grpc_method=Bidi,grpc_service=a.B,grpc_type=bidi_stream} 1"}
	if !slices.Equal(handled, want) {
		t.Errorf("B166: the server has %q, want %q", handled, want)
	}
}

// BenchmarkCall makes calls over a unix socket whose both ends are in this process, and are
// counted or not.
func BenchmarkCall(b *testing.B) {
	for _, counted := range []bool{false, true} {
		b.Run(map[bool]string{false: "uncounted", true: "counted"}[counted], func(b *testing.B) {
			var client *ttrpcprom.ClientMetrics
			var server *ttrpcprom.ServerMetrics
			if counted {
				client, server = ttrpcprom.NewClientMetrics(), ttrpcprom.NewServerMetrics()
			}
			c := serve(b, client, server, false)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Call(context.Background(), "a.B", "Unary", wrapperspb.String("x"), new(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
