// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A gate holds a handler up.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 1), make(chan struct{})} }

// handler answers when the gate is open.
func (g *gate) handler(then func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)) *service {
	return &service{unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		g.entered <- struct{}{}
		select {
		case <-g.open:
			return then(ctx, r)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

func echo(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: r.Payload}, nil
}

// call makes a call, whose error comes later.
func call(ctx context.Context, on grpc.ClientConnInterface, s string) <-chan error {
	done := make(chan error, 1)
	go func() {
		r, err := testgrpc.NewTestServiceClient(on).UnaryCall(ctx, text(s))
		if err == nil && body(r) != s {
			err = errors.New("the answer is " + body(r))
		}
		done <- err
	}()
	return done
}

// TestGracefulStop stops a server while a call runs that has yet to call back, and while a
// call of the server's own runs.
func TestGracefulStop(t *testing.T) {
	for name, stop := range map[string]func(*testServer){
		"brpc": (*testServer).GracefulStop,
		"gRPC": func(s *testServer) { s.Server.GracefulStop() }, // and what follows happens in the background
	} {
		t.Run(name, func(t *testing.T) { gracefulStop(t, stop) })
	}
}

func gracefulStop(t *testing.T, stop func(*testServer)) {
	var server *testServer
	forward, backward := newGate(), newGate()
	pool := brpc.NewPool(brpc.PoolConfig{})
	server, path := start(t, testConfig{Pool: pool, Grace: time.Hour}, forward.handler(func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		back, err := server.ClientFromContext(ctx)
		if err != nil {
			return nil, err
		}
		return back.UnaryCall(ctx, r)
	}))
	events := make(chan struct{})
	conn := dialUnix(t, path)
	slow := backward.handler(echo)
	serveBack(t, conn, &service{unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		if string(r.Payload.GetBody()) == "slow" {
			return slow.unary(ctx, r)
		}
		return echo(ctx, r)
	}})
	ctx := ctxOf(t)
	if err := pool.Conn().WaitForReady(ctx); err != nil {
		t.Fatal(err)
	}
	asked, told := call(ctx, conn, "quick"), call(ctx, pool.Conn(), "slow")
	<-forward.entered
	<-backward.entered
	go func() { stop(server); close(events) }()
	awaitRefusal(t, path)
	close(forward.open)
	if err := <-asked; err != nil {
		t.Errorf("B134: the call that ran ended with %v", err)
	}
	select {
	case err := <-told:
		t.Fatalf("B134: the server's call ended with %v", err)
	case <-time.After(20 * time.Millisecond): // no event tells that nothing happens
	}
	close(backward.open)
	if err := <-told; err != nil {
		t.Errorf("B134: the server's call ended with %v", err)
	}
	testkit.Within(t, "B134", func() { <-events })
	testkit.Within(t, "B134", server.GracefulStop) // returns when the rest has happened, too
	_, err := testgrpc.NewTestServiceClient(pool.Conn()).UnaryCall(ctx, text(""))
	wantCode(t, "B134", err, codes.Unavailable)
}

// awaitRefusal waits until nobody listens.
func awaitRefusal(t *testing.T, path string) {
	t.Helper()
	testkit.Within(t, "B134", func() {
		for {
			nc, err := net.Dial("unix", path)
			if err != nil {
				return
			}
			nc.Close()
			time.Sleep(time.Millisecond)
		}
	})
}

// TestStopIsBounded has the end of the time end what does not finish.
func TestStopIsBounded(t *testing.T) {
	forward, backward := newGate(), newGate()
	pool := brpc.NewPool(brpc.PoolConfig{})
	server, path := start(t, testConfig{Pool: pool}, forward.handler(echo))
	conn := dialUnix(t, path)
	serveBack(t, conn, backward.handler(echo))
	ctx := ctxOf(t)
	if err := pool.Conn().WaitForReady(ctx); err != nil {
		t.Fatal(err)
	}
	asked, told := call(ctx, conn, ""), call(ctx, pool.Conn(), "")
	<-forward.entered
	<-backward.entered
	bound, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(bound); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("B134: Shutdown has returned %v", err)
	}
	wantCode(t, "B134", <-asked, codes.Unavailable)
	wantCode(t, "B134", <-told, codes.Unavailable)
}

// TestEmbeddedStop has the grpc.Server's own Stop end the server and its connections.
func TestEmbeddedStop(t *testing.T) {
	g := newGate()
	server := brpc.NewServer(testConfig{})
	testgrpc.RegisterTestServiceServer(server, g.handler(echo))
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeListener(context.Background(), l) }()
	asked := call(ctxOf(t), dialUnix(t, l.Addr().String()), "")
	<-g.entered
	server.Server.Stop()
	wantCode(t, "B134", <-asked, codes.Unavailable)
	if err := <-served; err != nil {
		t.Errorf("B134: Serve has returned %v", err)
	}
	if err := server.ServeListener(context.Background(), testkit.NewListener()); err != grpc.ErrServerStopped {
		t.Errorf("B134: after that it returns %v", err)
	}
}

// A failing listener cannot accept, and counts how often it is asked.
type failing struct {
	*testkit.Listener
	asked int
}

func (l *failing) Accept() (net.Conn, error) {
	l.asked++
	return nil, errors.New("no more conns")
}

// TestAcceptFails has a listener fail, and one be closed from outside.
func TestAcceptFails(t *testing.T) {
	server := brpc.NewServer(testConfig{})
	defer server.Stop()
	l := &failing{Listener: testkit.NewListener()}
	testkit.Within(t, "B135", func() {
		if err := server.ServeListener(context.Background(), l); err == nil || l.asked != 1 {
			t.Errorf("B135: after %d calls of Accept it returns %v", l.asked, err)
		}
	})
	closed := newCertificates(t).listen(t, "127.0.0.1:0")
	closed.Close()
	testkit.Within(t, "B135", func() {
		if err := server.Serve(context.Background(), closed); err == nil {
			t.Error("B135: a closed listener is no error")
		}
	})
}

// TestGone asks for a client that has gone.
func TestGone(t *testing.T) {
	var server *testServer
	contexts := make(chan context.Context, 1)
	gone := make(chan struct{})
	pool := brpc.NewPool(brpc.PoolConfig{Closed: func(*brpc.PoolClient) { close(gone) }})
	server, path := start(t, testConfig{Pool: pool}, &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		contexts <- ctx
		return new(testgrpc.SimpleResponse), nil
	}})
	conn := dialUnix(t, path)
	g := newGate()
	serveBack(t, conn, g.handler(echo))
	if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("")); err != nil {
		t.Fatal(err)
	}
	ctx := <-contexts
	back, err := server.ClientFromContext(ctx) // whose handler has returned
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 1)
	go func() {
		_, err := back.UnaryCall(ctxOf(t), text(""))
		lost <- err
	}()
	<-g.entered
	conn.Close()
	if err := <-lost; status.Code(err) != codes.Unavailable {
		t.Errorf("B136: a call under way ends with %v", err)
	}
	<-gone
	awaitGone(t, server, ctx)
	if _, err = back.UnaryCall(ctxOf(t), text("")); !errors.Is(err, brpc.ErrClientNotConnected) {
		t.Errorf("B136: a later call ends with %v", err)
	}
	wantCode(t, "B136", err, codes.Unavailable)
}

// awaitGone waits until the server knows that a call's connection has ended.
func awaitGone(t *testing.T, server *testServer, ctx context.Context) {
	t.Helper()
	testkit.Within(t, "B136", func() {
		for {
			_, err := server.ClientFromContext(ctx)
			if err == brpc.ErrClientNotConnected {
				return
			}
			if err != nil {
				t.Errorf("B136: the error is %v", err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}
