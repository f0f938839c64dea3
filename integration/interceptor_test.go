// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// A trace is what ran, in order.
type trace struct {
	mu   sync.Mutex
	what []string
}

func (tr *trace) add(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.what = append(tr.what, what)
}

func (tr *trace) want(t *testing.T, rule string, want ...string) {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !slices.Equal(tr.what, want) {
		t.Errorf("%s: ran %q, want %q", rule, tr.what, want)
	}
	tr.what = nil
}

// These return interceptors that leave a trace around what they intercept.

func (tr *trace) unaryServer(name string) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		tr.add(name + info.FullMethod)
		defer tr.add(name + " done")
		return method(ctx, unmarshal)
	}
}

func (tr *trace) unaryClient(name string) ttrpc.UnaryClientInterceptor {
	return func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		tr.add(name + info.FullMethod)
		defer tr.add(name + " done")
		return invoke(ctx, req, resp)
	}
}

func (tr *trace) streamServer(name string) ttrpc.StreamServerInterceptor {
	return func(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
		tr.add(name + info.FullMethod)
		defer tr.add(name + " done")
		return handler(ctx, stream)
	}
}

func (tr *trace) streamClient(name string) ttrpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
		tr.add(name + fullMethod)
		defer tr.add(name + " done")
		return open(ctx, desc, fullMethod)
	}
}

const (
	echoPath   = "/ttrpc.integration.streaming.Streaming/Echo"
	streamPath = "/ttrpc.integration.streaming.Streaming/EchoNullStream"
)

func TestInterceptorsRunInOrder(t *testing.T) {
	var server, client trace
	// The single one is first wherever it stands among the options; chains grow.
	c := start(t, service{},
		ttrpc.WithChainUnaryServerInterceptor(server.unaryServer("2"), server.unaryServer("3")),
		ttrpc.WithChainStreamServerInterceptor(server.streamServer("1"), server.streamServer("2")),
		ttrpc.WithUnaryServerInterceptor(server.unaryServer("1")),
		ttrpc.WithChainStreamServerInterceptor(server.streamServer("3")),
	).connect(t,
		ttrpc.WithChainUnaryClientInterceptor(client.unaryClient("2"), client.unaryClient("3")),
		ttrpc.WithChainStreamClientInterceptor(client.streamClient("1"), client.streamClient("2")),
		ttrpc.WithUnaryClientInterceptor(client.unaryClient("1")),
		ttrpc.WithChainStreamClientInterceptor(client.streamClient("3")),
	)
	want := func(path string) []string {
		return []string{"1" + path, "2" + path, "3" + path, "3 done", "2 done", "1 done"}
	}

	c.mustEcho(t, "B27")
	server.want(t, "B27", want(echoPath)...)
	client.want(t, "B13", want(echoPath)...)

	c.mustStream(t, "B27")
	server.want(t, "B27", want(streamPath)...)
	client.want(t, "B13", want(streamPath)...)
}

func TestInterceptorsAlone(t *testing.T) {
	var server, client trace
	c := start(t, service{},
		ttrpc.WithUnaryServerInterceptor(nil),
		ttrpc.WithUnaryServerInterceptor(server.unaryServer("u")),
		ttrpc.WithChainStreamServerInterceptor(server.streamServer("s")),
	).connect(t,
		ttrpc.WithUnaryClientInterceptor(client.unaryClient("u")),
		ttrpc.WithChainStreamClientInterceptor(client.streamClient("s")),
	)
	c.mustEcho(t, "B27")
	c.mustStream(t, "B27")
	want := []string{"u" + echoPath, "u done", "s" + streamPath, "s done"}
	server.want(t, "B27", want...)
	client.want(t, "B13", want...)
}

func TestTwoSingleInterceptors(t *testing.T) {
	var tr trace
	opt := ttrpc.WithUnaryServerInterceptor(tr.unaryServer(""))
	if _, err := ttrpc.NewServer(opt, opt); err == nil {
		t.Error("B27: two single interceptors are no error")
	}
}

func TestClientInterceptorChangesTheRequest(t *testing.T) {
	arrived := make(chan ttrpc.MD, 1)
	deadlines := make(chan bool, 1)
	c := start(t, service{echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		md, _ := ttrpc.GetMetadata(ctx)
		arrived <- md.Clone()
		_, ok := ctx.Deadline()
		deadlines <- ok
		return req, nil
	}}).connect(t, ttrpc.WithUnaryClientInterceptor(
		func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
			if len(req.Metadata) != 1 || req.Metadata[0].Value != "caller's" || req.TimeoutNano <= 0 {
				t.Errorf("B14: the interceptor sees the metadata %v and the timeout %d", req.Metadata, req.TimeoutNano)
			}
			req.Metadata = []*ttrpc.KeyValue{{Key: "k", Value: "interceptor's"}}
			req.TimeoutNano = 0
			return invoke(ctx, req, resp)
		}))
	ctx, cancel := withHour(ttrpc.WithMetadata(context.Background(), ttrpc.MD{"k": {"caller's"}}))
	defer cancel()
	if _, err := c.Echo(ctx, new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	if md := <-arrived; !slices.Equal(md["k"], []string{"interceptor's"}) {
		t.Errorf("B14: the handler's metadata is %v, want the interceptor's", md)
	}
	if <-deadlines {
		t.Error("B14: the handler has a deadline that the interceptor took away")
	}
}

func TestInterceptorsAnswerThemselves(t *testing.T) {
	refused := status.Error(codes.PermissionDenied, "not today")
	s := start(t, service{},
		ttrpc.WithUnaryServerInterceptor(func(context.Context, ttrpc.Unmarshaler, *ttrpc.UnaryServerInfo, ttrpc.Method) (any, error) {
			return nil, refused
		}),
		ttrpc.WithChainStreamServerInterceptor(func(context.Context, ttrpc.StreamServer, *ttrpc.StreamServerInfo, ttrpc.StreamHandler) (any, error) {
			return nil, refused
		}))
	c := s.connect(t)
	_, err := c.Echo(context.Background(), new(streaming.EchoPayload))
	wantCode(t, "B27", err, codes.PermissionDenied, "not today")
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, "B27", err, codes.PermissionDenied, "not today")

	own := errors.New("the client's own")
	c = s.connect(t,
		ttrpc.WithUnaryClientInterceptor(func(context.Context, *ttrpc.Request, *ttrpc.Response, *ttrpc.UnaryClientInfo, ttrpc.Invoker) error {
			return own
		}),
		ttrpc.WithChainStreamClientInterceptor(func(context.Context, *ttrpc.StreamDesc, string, ttrpc.Streamer) (ttrpc.ClientStream, error) {
			return nil, own
		}))
	if _, err := c.Echo(context.Background(), new(streaming.EchoPayload)); err != own {
		t.Errorf("B14: Echo: %v, want the interceptor's error", err)
	}
	if _, err := c.EchoStream(context.Background()); err != own {
		t.Errorf("B14: EchoStream: %v, want the interceptor's error", err)
	}
}

// A countingServer and a countingClient wrap streams, as interceptors may.
type countingServer struct {
	ttrpc.StreamServer
	sent, received int
}

func (s *countingServer) SendMsg(m any) error {
	s.sent++
	return s.StreamServer.SendMsg(m)
}

func (s *countingServer) RecvMsg(m any) error {
	s.received++
	return s.StreamServer.RecvMsg(m)
}

type countingClient struct {
	ttrpc.ClientStream
	sent int
}

func (s *countingClient) SendMsg(m any) error {
	s.sent++
	return s.ClientStream.SendMsg(m)
}

func TestInterceptorsWrapStreams(t *testing.T) {
	handled := make(chan *countingServer, 1)
	opened := make(chan *countingClient, 1)
	c := start(t, service{}, ttrpc.WithChainStreamServerInterceptor(
		func(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
			if !info.StreamingClient || !info.StreamingServer {
				t.Errorf("B27: the interceptor is told %+v of a stream both ways", *info)
			}
			counting := &countingServer{StreamServer: stream}
			defer func() { handled <- counting }()
			return handler(ctx, counting)
		}),
	).connect(t, ttrpc.WithChainStreamClientInterceptor(
		func(ctx context.Context, desc *ttrpc.StreamDesc, fullMethod string, open ttrpc.Streamer) (ttrpc.ClientStream, error) {
			stream, err := open(ctx, desc, fullMethod)
			counting := &countingClient{ClientStream: stream}
			opened <- counting
			return counting, err
		}))
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(new(streaming.EchoPayload)); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	if s := <-handled; s.sent != 3 || s.received != 4 {
		t.Errorf("B27: the handler sent %d and asked %d times for messages through the interceptor's stream, want 3 and 4", s.sent, s.received)
	}
	if s := <-opened; s.sent != 3 {
		t.Errorf("B13: the client sent %d messages through the interceptor's stream, want 3", s.sent)
	}
}
