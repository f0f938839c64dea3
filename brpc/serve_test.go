// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/memconn"
	"github.com/containerd/ttrpc/internal/testkit"
)

// serveHealth has a client serve gRPC's health service, until shutdown is closed.
func serveHealth(shutdown <-chan struct{}, conn *brpc.ClientConn) error {
	return brpc.ServeClientService[healthpb.HealthServer](shutdown, conn, func(r grpc.ServiceRegistrar) {
		healthpb.RegisterHealthServer(r, health.NewServer())
	})
}

// TestSeveralServices has a client serve two services, by two calls, and a handler call both
// of them, and the client's handler the server.
func TestSeveralServices(t *testing.T) {
	intercepted := 0
	pool := brpc.NewPool(brpc.PoolConfig{})
	_, path := start(t, testConfig{Pool: pool}, &service{
		unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			checker, err := brpc.ClientFromContext(ctx, healthpb.NewHealthClient)
			if err != nil {
				return nil, err
			}
			if _, err := checker.Check(ctx, new(healthpb.HealthCheckRequest)); err != nil {
				return nil, err
			}
			back, err := brpc.ClientFromContext(ctx, testgrpc.NewTestServiceClient)
			if err != nil {
				return nil, err
			}
			return back.UnaryCall(ctx, r)
		}})
	conn := dialUnix(t, path, brpc.WithReverseServerOptions(grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			intercepted++
			return handler(ctx, req)
		})))
	serveBack(t, conn, &service{unary: func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		server, err := brpc.ClientFromContext(ctx, testgrpc.NewTestServiceClient)
		if err != nil {
			return nil, err
		}
		stream, err := server.FullDuplexCall(ctx)
		if err != nil {
			return nil, err
		}
		stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: r.Payload})
		stream.CloseSend()
		back, err := stream.Recv()
		return &testgrpc.SimpleResponse{Payload: back.GetPayload()}, err
	}})
	shutdown, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- serveHealth(shutdown, conn) }()
	for ctx := ctxOf(t); ; { // until both are served
		r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, text("round"))
		if err == nil && body(r) == "round" {
			break
		}
		wantCode(t, "B142", err, codes.Unimplemented)
	}
	if intercepted < 2 {
		t.Errorf("B142: %d calls were intercepted", intercepted)
	}
	if err := serveHealth(nil, conn); err == nil {
		t.Error("B142: a service is served twice")
	}
	if err := conn.ServeReverse(grpc.NewServer()); err == nil {
		t.Error("B142: two servers serve")
	}
	close(shutdown)
	if err := <-served; err != nil {
		t.Error(err)
	}
	_, err := healthpb.NewHealthClient(pool.Conn()).Check(ctxOf(t), new(healthpb.HealthCheckRequest), grpc.WaitForReady(true))
	wantCode(t, "B142", err, codes.Unimplemented)
}

// TestServeReverse has a client serve by a gRPC server of its own, and another one after it.
func TestServeReverse(t *testing.T) {
	pool := brpc.NewPool(brpc.PoolConfig{})
	_, path := start(t, testConfig{Pool: pool}, new(service))
	conn := dialUnix(t, path)
	for _, name := range []string{"one", "two"} {
		server := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(server, named(name))
		served := make(chan error, 1)
		go func() { served <- conn.ServeReverse(server) }()
		if err := pool.Conn().WaitForReady(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
		if got := who(t, pool.Conn()); got != name {
			t.Errorf("B142: %s answers, want %s", got, name)
		}
		server.GracefulStop()
		testkit.Within(t, "B142", func() {
			if err := <-served; err != nil {
				t.Errorf("B142: ServeReverse has returned %v", err)
			}
			for len(pool.Clients()) > 0 {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// TestServesSoon has a client begin to serve when its server's call back has come, and waits.
func TestServesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brpc.NewServer(testConfig{ClientServiceBuilder: testgrpc.NewTestServiceClient})
		testgrpc.RegisterTestServiceServer(server, callsBack(&server))
		here, there := memconn.StreamPipe(64 << 10)
		go server.ServeConn(context.Background(), there)
		conn, err := brpc.NewClientConn(here)
		if err != nil {
			t.Fatal(err)
		}
		done := call(context.Background(), conn, "x")
		synctest.Wait()
		stop := serveBack(t, conn, new(service))
		if err := <-done; err != nil {
			t.Errorf("B130: %v", err)
		}
		stop()
		conn.Close()
		server.Stop()
		time.Sleep(time.Minute) // what closes does so in its own time
	})
}

// TestClientShutdown has a client leave in order: what it serves finishes.
func TestClientShutdown(t *testing.T) {
	g := newGate()
	pool := brpc.NewPool(brpc.PoolConfig{})
	_, path := start(t, testConfig{Pool: pool}, new(service))
	conn := dialUnix(t, path)
	serveBack(t, conn, g.handler(func(ctx context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		server, err := brpc.ClientFromContext(ctx, testgrpc.NewTestServiceClient)
		if err != nil {
			return nil, err
		}
		return server.UnaryCall(ctx, r)
	}))
	if err := pool.Conn().WaitForReady(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	done := call(ctxOf(t), pool.Conn(), "x")
	<-g.entered
	left := make(chan error, 1)
	go func() { left <- conn.Shutdown(ctxOf(t)) }()
	select {
	case err := <-left:
		t.Fatalf("B134: Shutdown has returned %v while a call ran", err)
	case <-time.After(20 * time.Millisecond): // no event tells that nothing happens
	}
	close(g.open)
	if err := <-done; err != nil {
		t.Errorf("B134: the call ended with %v", err)
	}
	if err := <-left; err != nil {
		t.Errorf("B134: Shutdown has returned %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("B134: Close after that returns %v", err)
	}
}

// TestOldOptions has the options of clarkmcc/brpc that mean nothing now be taken.
func TestOldOptions(t *testing.T) {
	_, path := start(t, testConfig{}, new(service))
	first := dialUnix(t, path)
	conn := dialUnix(t, path, first.WithUnaryConnectionIdentifier(), first.WithStreamConnectionIdentifier())
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("B130: %v", err)
	}
}
