// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc/brpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// TestConnectionsLeaveNothing makes many connections, each of which calls and is called. The
// leak check of this package's tests sees the rest.
func TestConnectionsLeaveNothing(t *testing.T) {
	connections, atOnce := 100*testkit.Times(t), 10
	var server *testServer
	pool := brpc.NewPool(brpc.PoolConfig{})
	server, path := start(t, testConfig{Pool: pool}, callsBack(&server))
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for i := range connections / atOnce {
				if err := visit(ctxOf(t), path, fmt.Sprint(w, " ", i)); err != nil {
					t.Errorf("B139: %v", err)
				}
			}
		})
	}
	all.Wait()
	testkit.Within(t, "B139", func() {
		for len(pool.Clients()) > 0 || len(server.Snapshot()) > 0 {
			time.Sleep(time.Millisecond)
		}
	})
}

// visit connects, calls, is called back and goes.
func visit(ctx context.Context, path, name string) error {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	conn, err := brpc.NewClientConn(nc)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		served <- brpc.ServeClientService[client](nil, conn, func(r grpc.ServiceRegistrar) {
			testgrpc.RegisterTestServiceServer(r, named(name))
		})
	}()
	r, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, text(""))
	conn.Close()
	<-served
	if err == nil && body(r) != name {
		err = fmt.Errorf("the answer is %q, want %q", body(r), name)
	}
	return err
}

// TestOneSleeps has one stream's receiver take nothing, while others on the connection get a
// lot, in either direction.
func TestOneSleeps(t *testing.T) {
	pool := brpc.NewPool(brpc.PoolConfig{})
	s := &service{duplex: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		for {
			r, err := stream.Recv()
			if err != nil {
				return err
			}
			for range r.ResponseParameters[0].Size {
				if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
					return err
				}
			}
		}
	}}
	_, path := start(t, testConfig{Pool: pool}, s)
	conn := dialUnix(t, path)
	serveBack(t, conn, s)
	if err := pool.Conn().WaitForReady(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	for name, on := range map[string]grpc.ClientConnInterface{"forward": conn, "backward": pool.Conn()} {
		t.Run(name, func(t *testing.T) {
			open := func(messages int32) testgrpc.TestService_FullDuplexCallClient {
				stream, err := testgrpc.NewTestServiceClient(on).FullDuplexCall(ctxOf(t))
				if err == nil {
					err = stream.Send(&testgrpc.StreamingOutputCallRequest{
						ResponseParameters: []*testgrpc.ResponseParameters{{Size: messages}},
						Payload:            &testgrpc.Payload{Body: bytes.Repeat([]byte("x"), 20<<10)},
					})
				}
				if err != nil {
					t.Fatal(err)
				}
				return stream
			}
			open(1 << 20) // whose answers nobody takes
			var others sync.WaitGroup
			for range 10 {
				stream := open(20)
				others.Go(func() {
					for range 20 {
						if _, err := stream.Recv(); err != nil {
							t.Errorf("B140: %v", err)
							return
						}
					}
				})
			}
			testkit.Within(t, "B140", others.Wait)
		})
	}
}

// TestManyAtOnce has calls and streams run in both directions at once.
func TestManyAtOnce(t *testing.T) {
	var server *testServer
	pool := brpc.NewPool(brpc.PoolConfig{})
	server, path := start(t, testConfig{Pool: pool}, callsBack(&server))
	conn := dialUnix(t, path)
	serveBack(t, conn, new(service))
	if err := pool.Conn().WaitForReady(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		on := []grpc.ClientConnInterface{conn, pool.Conn()}[i%2]
		all.Go(func() {
			for size := range 20 {
				want := string(bytes.Repeat([]byte{byte('a' + i)}, size*size*100))
				if err := <-call(ctxOf(t), on, want); err != nil {
					t.Errorf("B140: %v", err)
				}
			}
		})
	}
	testkit.Within(t, "B140", all.Wait)
}

// A pipe is a net.Conn of the messages of a gRPC stream, as simple as can be.
type pipe struct {
	net.Conn // what the test does not need
	send     func([]byte) error
	recv     func() ([]byte, error)
	close    func()
	rest     []byte
}

func (p *pipe) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		var err error
		if p.rest, err = p.recv(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error)      { return len(b), p.send(bytes.Clone(b)) }
func (p *pipe) Close() error                     { p.close(); return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) LocalAddr() net.Addr              { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return nil }

// TestNested runs brpc over a stream of brpc, with calls both ways inside.
func TestNested(t *testing.T) {
	var inner *testServer
	s := callsBack(&inner)
	inner = brpc.NewServer(testConfig{ClientServiceBuilder: testgrpc.NewTestServiceClient})
	testgrpc.RegisterTestServiceServer(inner, s)
	defer inner.Stop()
	_, path := start(t, testConfig{}, &service{duplex: func(stream testgrpc.TestService_FullDuplexCallServer) error {
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		inner.ServeConn(ctx, &pipe{
			send: func(b []byte) error {
				return stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: b}})
			},
			recv: func() ([]byte, error) {
				r, err := stream.Recv()
				return r.GetPayload().GetBody(), err
			},
			close: cancel,
		})
		return nil
	}})
	ctx, cancel := context.WithCancel(ctxOf(t))
	defer cancel()
	stream, err := testgrpc.NewTestServiceClient(dialUnix(t, path)).FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn := over(t, &pipe{
		send: func(b []byte) error {
			return stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: &testgrpc.Payload{Body: b}})
		},
		recv: func() ([]byte, error) {
			r, err := stream.Recv()
			return r.GetPayload().GetBody(), err
		},
		close: cancel,
	})
	stop := serveBack(t, conn, new(service))
	defer stop() // before the connection ends
	for _, size := range []int{0, 100, 1 << 20} {
		if err := <-call(ctxOf(t), conn, string(bytes.Repeat([]byte("x"), size))); err != nil {
			t.Errorf("B140: %d bytes: %v", size, err)
		}
	}
}
