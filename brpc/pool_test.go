// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// byName is the key of a client by what it sends.
func byName(ctx context.Context, _ *brpc.Peer) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md["name"]) != 1 {
		return "", status.Error(codes.Unauthenticated, "who are you?")
	}
	return md["name"][0], nil
}

func withName(name string) grpc.DialOption {
	return brpc.WithServeMetadata(metadata.Pairs("name", name))
}

// who returns which client answers a call.
func who(t *testing.T, conn grpc.ClientConnInterface) string {
	t.Helper()
	r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""))
	if err != nil {
		t.Fatalf("B138: %v", err)
	}
	return body(r)
}

// A hookLog notes what the hooks of a pool are called for.
type hookLog struct{ opened, closed chan string }

func newHookLog() *hookLog { return &hookLog{make(chan string, 100), make(chan string, 100)} }

func (h *hookLog) config() brpc.PoolConfig {
	return brpc.PoolConfig{
		Key:    byName,
		Opened: func(c *brpc.PoolClient) { h.opened <- c.Key() },
		Closed: func(c *brpc.PoolClient) { h.closed <- c.Key() },
	}
}

// join has a client with a key and an answer serve.
func join(t *testing.T, path, key, answer string, h *hookLog) (leave func()) {
	t.Helper()
	conn := dialUnix(t, path, withName(key))
	stop := serveBack(t, conn, named(answer))
	if got := <-h.opened; got != key {
		t.Fatalf("B138: %q was opened, want %q", got, key)
	}
	return func() {
		stop()
		if got := <-h.closed; got != key {
			t.Fatalf("B138: %q was closed, want %q", got, key)
		}
	}
}

func TestPool(t *testing.T) {
	h := newHookLog()
	pool := brpc.NewPool(h.config())
	_, path := start(t, testConfig{Pool: pool}, new(service))
	_, err := testgrpc.NewTestServiceClient(pool.Conn()).UnaryCall(ctxOf(t), text(""))
	wantCode(t, "B138", err, codes.Unavailable)
	if pool.Conn().Ready() || pool.KeyConn("a").Ready() {
		t.Error("B138: an empty pool is ready")
	}
	join(t, path, "a", "a1", h)
	leave := join(t, path, "a", "a2", h)
	join(t, path, "b", "b1", h)
	if n := len(pool.Clients()); n != 3 || pool.Clients()[2].Key() != "b" || pool.Clients()[0].Peer() == nil {
		t.Errorf("B138: there are %d clients", n)
	}
	turns := func(conn grpc.ClientConnInterface, n int) map[string]int {
		times := make(map[string]int)
		for range n {
			times[who(t, conn)]++
		}
		return times
	}
	if got := fmt.Sprint(turns(pool.Conn(), 6)); got != "map[a1:2 a2:2 b1:2]" {
		t.Errorf("B138: all get calls in turn: %s", got)
	}
	if got := fmt.Sprint(turns(pool.KeyConn("a"), 6)); got != "map[a1:3 a2:3]" {
		t.Errorf("B138: those of a key get calls in turn: %s", got)
	}
	if got := who(t, pool.Clients()[1]); got != "a2" {
		t.Errorf("B138: the second client is %s", got)
	}
	leave()
	if got := fmt.Sprint(turns(pool.KeyConn("a"), 2)); got != "map[a1:2]" {
		t.Errorf("B138: one that has left gets calls: %s", got)
	}
	if pool.KeyConn("c").Ready() || !pool.KeyConn("b").Ready() {
		t.Error("B138: it is not known which keys are ready")
	}
}

// TestPoolAffinity has each affinity keep its client, whoever else comes and goes.
func TestPoolAffinity(t *testing.T) {
	h := newHookLog()
	pool := brpc.NewPool(h.config())
	_, path := start(t, testConfig{Pool: pool}, new(service))
	var leave func()
	for _, name := range []string{"a", "b", "c", "d"} {
		leave = join(t, path, name, name, h)
	}
	const affinities = 40
	chosen := func() (all [affinities]string) {
		for i := range all {
			all[i] = who(t, pool.Conn().Affine(fmt.Sprint(i)))
		}
		return all
	}
	before := chosen()
	if before != chosen() {
		t.Error("B138: an affinity changes")
	}
	leave()
	moved := 0
	for i, now := range chosen() {
		switch {
		case before[i] == "d":
			moved++
		case now != before[i]:
			t.Errorf("B138: %d moves from %s to %s", i, before[i], now)
		}
	}
	if moved == 0 || moved == affinities {
		t.Errorf("B138: one of four clients had %d of %d affinities", moved, affinities)
	}
}

// TestPoolRefuses has a pool refuse a client, and be shut down.
func TestPoolRefuses(t *testing.T) {
	for _, test := range []struct {
		err  error
		want codes.Code
	}{
		{status.Error(codes.Unauthenticated, "no"), codes.Unauthenticated},
		{errors.New("no"), codes.PermissionDenied},
		{status.Error(codes.Unavailable, "no"), codes.PermissionDenied},
	} {
		pool := brpc.NewPool(brpc.PoolConfig{Key: func(context.Context, *brpc.Peer) (string, error) { return "", test.err }})
		_, path := start(t, testConfig{Pool: pool}, new(service))
		err := brpc.ServeClientService[client](nil, dialUnix(t, path), func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, new(service))
		})
		wantCode(t, "B138", err, test.want)
		if pool.Conn().Ready() {
			t.Error("B138: a client that was refused is in the pool")
		}
	}
	h := newHookLog()
	pool := brpc.NewPool(h.config())
	_, path := start(t, testConfig{Pool: pool}, new(service))
	join(t, path, "a", "a", h)
	pool.Shutdown()
	serveBack(t, dialUnix(t, path, withName("b")), named("b")) // tries again and again, until its end
	if got := who(t, pool.Conn()); got != "a" || len(pool.Clients()) != 1 {
		t.Errorf("B138: after Shutdown %q answers, of %d", got, len(pool.Clients()))
	}
}

// TestPoolWaits has calls wait for the first client.
func TestPoolWaits(t *testing.T) {
	pool := brpc.NewPool(brpc.PoolConfig{Key: byName})
	_, path := start(t, testConfig{Pool: pool}, new(service))
	ctx, cancel := context.WithTimeout(ctxOf(t), 10*time.Millisecond)
	defer cancel()
	_, err := testgrpc.NewTestServiceClient(pool.KeyConn("late")).UnaryCall(ctx, text(""), grpc.WaitForReady(true))
	wantCode(t, "B138", err, codes.DeadlineExceeded)
	answers := make(chan error, 2)
	for _, conn := range []*brpc.PoolConn{pool.Conn(), pool.KeyConn("late")} {
		go func() {
			stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctxOf(t), grpc.WaitForReady(true))
			if err == nil {
				err = errors.Join(stream.CloseSend())
			}
			answers <- err
		}()
	}
	serveBack(t, dialUnix(t, path, withName("late")), new(service))
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("B138: %v", err)
		}
	}
}

// TestPoolUnderChange has clients come and go while calls are made: each ends.
func TestPoolUnderChange(t *testing.T) {
	pool := brpc.NewPool(brpc.PoolConfig{})
	_, path := start(t, testConfig{Pool: pool}, new(service))
	steady := dialUnix(t, path)
	serveBack(t, steady, named("steady"))
	if err := pool.Conn().WaitForReady(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var churn, calls sync.WaitGroup
	for range 3 {
		churn.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				conn := dialUnix(t, path)
				stop := serveBack(t, conn, named("passing"))
				testgrpc.NewTestServiceClient(conn).UnaryCall(ctxOf(t), text(""))
				stop()
				conn.Close()
			}
		})
	}
	for range 4 {
		calls.Go(func() {
			for range 50 {
				_, err := testgrpc.NewTestServiceClient(pool.Conn()).UnaryCall(ctxOf(t), text(""))
				if code := status.Code(err); code != codes.OK && code != codes.Unavailable && code != codes.Unimplemented {
					t.Errorf("B138: a call ended with %v", err)
				}
			}
		})
	}
	testkit.Within(t, "B138", calls.Wait)
	close(done)
	testkit.Within(t, "B138", churn.Wait)
}
