// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// A far is a conn whose bytes take some time to the other end, and whose link takes any number
// at once.
type far struct {
	*memconn.Conn
	delay time.Duration

	mu   sync.Mutex
	wake sync.Cond
	sent []parcel // guarded by mu
	done bool     // guarded by mu
}

type parcel struct {
	at   time.Time
	data []byte
}

func newFar(c *memconn.Conn, delay time.Duration) *far {
	f := &far{Conn: c, delay: delay}
	f.wake.L = &f.mu
	go f.carry()
	return f
}

func (f *far) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return 0, net.ErrClosed
	}
	f.sent = append(f.sent, parcel{time.Now().Add(f.delay), append([]byte(nil), b...)})
	f.wake.Signal()
	return len(b), nil
}

func (f *far) carry() {
	for {
		f.mu.Lock()
		for len(f.sent) == 0 && !f.done {
			f.wake.Wait()
		}
		if len(f.sent) == 0 {
			f.mu.Unlock()
			f.Conn.Close()
			return
		}
		p := f.sent[0]
		f.sent = f.sent[1:]
		f.mu.Unlock()
		time.Sleep(time.Until(p.at))
		f.Conn.Write(p.data)
	}
}

func (f *far) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = true
	f.wake.Signal()
	return nil
}

// TestWindows has a stream, in each direction, carry much more than 256 KiB in the time of a
// round trip of 50 ms, which is nothing but waiting, by the clock of a bubble.
func TestWindows(t *testing.T) {
	for _, name := range []string{"forward", "backward"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { throughput(t, name == "backward") })
		})
	}
}

func throughput(t *testing.T, backward bool) {
	const (
		delay = 25 * time.Millisecond
		size  = 256 << 10
	)
	a, b := memconn.StreamPipe(256 << 10)
	s := &service{duplex: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		for {
			if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, size)}}); err != nil {
				return err
			}
		}
	}}
	pool := brpc.NewPool(brpc.PoolConfig{})
	server := brpc.NewServer(testConfig{Pool: pool})
	testgrpc.RegisterTestServiceServer(server, s)
	go server.ServeConn(context.Background(), newFar(a, delay))
	conn, err := brpc.NewClientConn(newFar(b, delay))
	if err != nil {
		t.Fatal(err)
	}
	serveBack(t, conn, s)
	var on grpc.ClientConnInterface = conn
	if backward {
		on = pool.Conn()
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := testgrpc.NewTestServiceClient(on).FullDuplexCall(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	take := func(n int) time.Duration {
		began := time.Now()
		for range n {
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	warm := take(40)
	const messages = 40
	took := take(messages)
	rate := float64(messages*size) / took.Seconds() / 1e6
	t.Logf("the first %d MB take %v, then it is %.0f MB/s", 40*size>>20, warm, rate)
	if rate < 40 {
		t.Errorf("B143: it is %.1f MB/s at 50 ms", rate)
	}
	cancel()
	conn.Close()
	server.Stop()
	synctest.Wait()
	time.Sleep(time.Minute)
}
