// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration tests clients and servers end to end, over real sockets.
package integration

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(peerRole); role != "" {
		peers[role](os.Getenv(peerAddress))
		os.Exit(0)
	}
	os.Exit(leak.Check(m))
}

// A service is the streaming service with some methods replaced.
type service struct {
	streaming.Service
	echo         func(context.Context, *streaming.EchoPayload) (*streaming.EchoPayload, error)
	echoStream   func(context.Context, streaming.Streaming_EchoStreamServer) error
	divideStream func(context.Context, *streaming.Sum, streaming.Streaming_DivideStreamServer) error
}

func (s service) Echo(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
	if s.echo != nil {
		return s.echo(ctx, req)
	}
	return s.Service.Echo(ctx, req)
}

func (s service) EchoStream(ctx context.Context, stream streaming.Streaming_EchoStreamServer) error {
	if s.echoStream != nil {
		return s.echoStream(ctx, stream)
	}
	return s.Service.EchoStream(ctx, stream)
}

func (s service) DivideStream(ctx context.Context, sum *streaming.Sum, stream streaming.Streaming_DivideStreamServer) error {
	if s.divideStream != nil {
		return s.divideStream(ctx, sum, stream)
	}
	return s.Service.DivideStream(ctx, sum, stream)
}

// A server is one that runs until its test ends.
type server struct {
	*ttrpc.Server
	address string
	served  chan error // what Serve returns
}

// socketPath returns a path for a socket: that of a test's own directory may
// be too long for one.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newServer(t *testing.T, svc streaming.StreamingService, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	s, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	streaming.RegisterStreamingService(s, svc)
	return s
}

// start starts a server, and closes it when the test ends.
func start(t *testing.T, svc streaming.StreamingService, opts ...ttrpc.ServerOpt) *server {
	t.Helper()
	return startOn(t, context.Background(), listen(t, socketPath(t)), newServer(t, svc, opts...))
}

func startOn(t *testing.T, ctx context.Context, l net.Listener, srv *ttrpc.Server) *server {
	s := &server{srv, l.Addr().String(), make(chan error, 1)}
	go func() { s.served <- s.Serve(ctx, l) }()
	t.Cleanup(func() { s.Close() })
	return s
}

// dial returns a connection to the server that nobody closes but its owner.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", s.address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connect returns a client of the server.
func (s *server) connect(t *testing.T, opts ...ttrpc.ClientOpts) *client {
	t.Helper()
	return newClient(t, s.dial(t), opts...)
}

// A client is one that is closed when its test ends.
type client struct {
	streaming.StreamingClient
	raw *ttrpc.Client
}

func newClient(t *testing.T, conn net.Conn, opts ...ttrpc.ClientOpts) *client {
	raw := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() {
		raw.Close()
		if err := raw.UserOnCloseWait(context.Background()); err != nil {
			t.Errorf("B12: UserOnCloseWait: %v", err)
		}
	})
	return &client{streaming.NewStreamingClient(raw), raw}
}

// mustEcho makes a call that has to succeed.
func (c *client) mustEcho(t *testing.T, rule string) {
	t.Helper()
	got, err := c.Echo(context.Background(), &streaming.EchoPayload{Seq: 41, Msg: "hello"})
	if err != nil || got.Seq != 42 || got.Msg != "hello" {
		t.Fatalf("%s: Echo: %v, %v", rule, got, err)
	}
}

// mustStream opens a stream that has to work.
func (c *client) mustStream(t *testing.T, rule string) {
	t.Helper()
	stream, err := c.EchoNullStream(context.Background())
	if err != nil {
		t.Fatalf("%s: EchoNullStream: %v", rule, err)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != nil {
		t.Fatalf("%s: Send: %v", rule, err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatalf("%s: Recv: %v", rule, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatalf("%s: CloseSend: %v", rule, err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatalf("%s: Recv at the end: %v, want EOF", rule, err)
	}
}

// echoing calls Echo in the background.
func (c *client) echoing(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Echo(ctx, new(streaming.EchoPayload))
		done <- err
	}()
	return done
}

// wantCode checks the code and the message of the status that err is; any
// message will do if want is empty.
func wantCode(t *testing.T, rule string, err error, code codes.Code, want string) {
	t.Helper()
	st, ok := status.FromError(err)
	if !ok || st.Code() != code || want != "" && st.Message() != want {
		t.Errorf("%s: error %v, want a status %v %q", rule, err, code, want)
	}
}

// A gate is a handler that tells that it runs, and then waits.
type gate struct {
	entered chan context.Context // gets the handler's context
	release chan struct{}        // lets the handlers return
}

func newGate() *gate { return &gate{make(chan context.Context, 16), make(chan struct{})} }

func (g *gate) echo(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
	g.entered <- ctx
	<-g.release
	return req, nil
}
