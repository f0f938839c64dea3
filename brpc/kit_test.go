// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/quic-go/quic-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A service answers with payloads as they came. Hooks may answer calls in its place.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)
	duplex func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s *service) UnaryCall(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if s.unary != nil {
		return s.unary(ctx, r)
	}
	return &testgrpc.SimpleResponse{Payload: r.Payload}, nil
}

func (s *service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	if s.duplex != nil {
		return s.duplex(stream)
	}
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

type (
	client     = testgrpc.TestServiceClient
	testServer = brpc.Server[client]
	testConfig = brpc.ServerConfig[client]
)

// start has a server with a service listen on a unix socket.
func start(t testing.TB, config testConfig, s *service) (*testServer, string) {
	t.Helper()
	if config.ClientServiceBuilder == nil {
		config.ClientServiceBuilder = testgrpc.NewTestServiceClient
	}
	server := brpc.NewServer(config)
	testgrpc.RegisterTestServiceServer(server, s)
	return server, serveUnix(t, server)
}

// serveUnix has a server listen on a unix socket, until the test ends.
func serveUnix(t testing.TB, server *testServer) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeListener(context.Background(), l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the server has returned %v", err)
		}
	})
	return path
}

// dialUnix returns a client's end, which redials, until the test ends.
func dialUnix(t testing.TB, path string, opts ...grpc.DialOption) *brpc.ClientConn {
	t.Helper()
	conn, err := brpc.DialNet(path, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// serveBack has a client answer its server's calls, until the test ends.
func serveBack(t testing.TB, conn *brpc.ClientConn, s *service) (stop func()) {
	t.Helper()
	shutdown, served := make(chan struct{}), make(chan error, 1)
	go func() {
		served <- brpc.ServeClientService[testgrpc.TestServiceServer](shutdown, conn, func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, s)
		})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		close(shutdown)
		if err := <-served; err != nil {
			t.Errorf("ServeClientService has returned %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// text is a request with a payload.
func text(s string) *testgrpc.SimpleRequest {
	return &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: []byte(s)}}
}

func body(r *testgrpc.SimpleResponse) string { return string(r.GetPayload().GetBody()) }

func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Hang)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, rule string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("%s: the code is %v (%v), want %v", rule, got, err, want)
	}
}

// callsBack has the handler of a call answer with what its caller answers.
func callsBack(server **testServer) *service {
	return &service{unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		back, err := (*server).ClientFromContext(ctx)
		if err != nil {
			return nil, err
		}
		return back.UnaryCall(ctx, r)
	}}
}

// A quicListener is a net.Listener, which it only has to look like.
type quicListener struct{ *quic.Listener }

func (quicListener) Accept() (net.Conn, error) { panic("it is served as it is") }

// silent is a logger of what is expected.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
