// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// TestIdle has gRPC's connection fall idle at both ends, and be used again.
func TestIdle(t *testing.T) {
	var server *testServer
	idle := grpc.WithIdleTimeout(5 * time.Millisecond)
	server, path := start(t, testConfig{ClientOptions: []grpc.DialOption{idle}}, callsBack(&server))
	conn := dialUnix(t, path, idle)
	serveBack(t, conn, named("after "))
	for range 3 {
		r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("idle"))
		if err != nil || body(r) != "after idle" {
			t.Fatalf("B137: the answer is %q, %v", body(r), err)
		}
		for s := conn.GetState(); s != connectivity.Idle; s = conn.GetState() {
			if !conn.WaitForStateChange(ctxOf(t), s) {
				t.Fatalf("B137: it stays %v", s)
			}
		}
	}
}

// TestRestart has a server go, and another one come in its place, by unix socket and QUIC.
// Calls in both directions go on.
func TestRestart(t *testing.T) {
	t.Run("unix", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		restart(t, func() net.Listener {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}, func() *brpc.ClientConn { return dialUnix(t, path) })
	})
	t.Run("QUIC", func(t *testing.T) {
		certs := newCertificates(t)
		addr := "127.0.0.1:0"
		restart(t, func() net.Listener {
			l := quicListener{certs.listen(t, addr)}
			addr = l.Addr().String()
			return l
		}, func() *brpc.ClientConn { return dialQUIC(t, addr, certs, quick) })
	})
}

var quick = brpc.WithBackoff(ttrpc.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond})

func restart(t *testing.T, listen func() net.Listener, dial func() *brpc.ClientConn) {
	var conn *brpc.ClientConn
	for _, name := range []string{"first", "second", "third"} {
		pool := brpc.NewPool(brpc.PoolConfig{})
		server := brpc.NewServer(testConfig{Pool: pool})
		testgrpc.RegisterTestServiceServer(server, named(name+" "))
		l := listen()
		served := make(chan error, 1)
		go func() {
			if q, ok := l.(quicListener); ok {
				served <- server.Serve(context.Background(), q.Listener)
				return
			}
			served <- server.ServeListener(context.Background(), l)
		}()
		if conn == nil {
			conn = dial()
			serveBack(t, conn, named("client of the "))
		}
		ctx := ctxOf(t)
		r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, text("server"), grpc.WaitForReady(true))
		for status.Code(err) == codes.Unavailable { // it was sent on the connection that is no more
			r, err = testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, text("server"), grpc.WaitForReady(true))
		}
		if err != nil || body(r) != name+" server" {
			t.Errorf("B137: the answer is %q, %v", body(r), err)
		}
		r, err = testgrpc.NewTestServiceClient(pool.Conn()).UnaryCall(ctx, text(name), grpc.WaitForReady(true))
		if err != nil || body(r) != "client of the "+name {
			t.Errorf("B137: the answer is %q, %v", body(r), err)
		}
		if name == "second" {
			server.Stop() // as if it had crashed
		} else {
			server.GracefulStop()
		}
		if err := <-served; err != nil {
			t.Errorf("the server has returned %v", err)
		}
		l.Close()
	}
}

// TestConnLost has the current connection be lost below, as by a change of the network, while
// a stream runs on it. The next calls of both sides have another one.
func TestConnLost(t *testing.T) {
	var server *testServer
	server, path := start(t, testConfig{}, callsBack(&server))
	var mu sync.Mutex
	var current net.Conn
	conn, err := brpc.DialNet(path, func(ctx context.Context) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, "unix", path)
		mu.Lock()
		defer mu.Unlock()
		current = nc
		return nc, err
	}, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	serveBack(t, conn, named("again "))
	for range 3 {
		stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctxOf(t), grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(new(testgrpc.StreamingOutputCallRequest)); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		current.Close()
		mu.Unlock()
		_, err = stream.Recv()
		wantCode(t, "B137", err, codes.Unavailable)
		r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("here"), grpc.WaitForReady(true))
		if err != nil || body(r) != "again here" {
			t.Fatalf("B137: the answer is %q, %v", body(r), err)
		}
	}
}

// TestNobodyListens has the first connection fail.
func TestNobodyListens(t *testing.T) {
	certs := newCertificates(t)
	l := certs.listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if conn, err := brpc.DialContext(ctx, addr, certs.config()); err == nil {
		conn.Close()
		t.Error("B137: Dial connects to nobody")
	}
	// Without a connection calls fail at once, as those of gRPC do.
	conn := dialUnix(t, filepath.Join(t.TempDir(), "nobody"), brpc.WithTTRPCOptions(ttrpc.WithClientLogger(silent{})))
	_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""))
	wantCode(t, "B137", err, codes.Unavailable)
}

// TestOneConn has a ClientConn that cannot redial end with its connection.
func TestOneConn(t *testing.T) {
	_, path := start(t, testConfig{}, new(service))
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn := over(t, nc)
	served := make(chan error, 1)
	go func() {
		served <- brpc.ServeClientService[client](nil, conn, func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, new(service))
		})
	}()
	if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text("")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	testkit.Within(t, "B137", func() {
		if err := <-served; err != brpc.ErrClientNotConnected {
			t.Errorf("B137: ServeClientService has returned %v", err)
		}
	})
	_, err = testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""))
	wantCode(t, "B137", err, codes.Unavailable)
}

// TestClassicPeer has the other end be a server without the extended mode, and a client.
func TestClassicPeer(t *testing.T) {
	plain, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	here, there := testkit.SocketPair(t)
	go plain.ServeConn(context.Background(), there)
	_, err = testgrpc.NewTestServiceClient(over(t, here)).UnaryCall(ctxOf(t), text(""))
	wantCode(t, "B137", err, codes.Unavailable)

	server := brpc.NewServer(testConfig{})
	defer server.Stop()
	here, there = testkit.SocketPair(t)
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(context.Background(), there) }()
	classic := ttrpc.NewClient(here)
	defer classic.Close()
	if err := classic.Call(ctxOf(t), "brpc.Tunnel", "Open", new(ttrpc.RawMessage), new(ttrpc.RawMessage)); err == nil {
		t.Error("B137: a classic client is served")
	}
	if err := <-served; err == nil {
		t.Error("B137: ServeConn does not say why")
	}
}
