// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// TestNothingOfHTTP2 holds that incoming metadata is what the caller has sent, and nothing else.
func TestNothingOfHTTP2(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	var header metadata.MD
	seen := make(chan metadata.MD, 1)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			seen <- md
			return new(testpb.SimpleResponse), nil
		},
	})
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	ctx := metadata.AppendToOutgoingContext(withDeadline(t), "user-agent", "mine", "content-type", "mine", ":authority", "mine")
	if _, err := stub.UnaryCall(ctx, smallRequest, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if md := <-seen; len(md) > 0 || len(header) > 0 {
		t.Errorf("B121: the handler sees %v, and its caller the header %v", md, header)
	}
}

// A connStats notes what of connections a stats handler is told, and what WireLength is.
type connStats struct {
	conns atomic.Int32
	mu    sync.Mutex
	over  []int // by how much WireLength is larger than Length
}

func (h *connStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	h.conns.Add(1)
	return ctx
}

func (h *connStats) HandleConn(context.Context, stats.ConnStats) { h.conns.Add(1) }

func (h *connStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (h *connStats) HandleRPC(_ context.Context, s stats.RPCStats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := s.(type) {
	case *stats.InPayload:
		h.over = append(h.over, s.WireLength-s.Length, s.CompressedLength-s.Length)
	case *stats.OutPayload:
		h.over = append(h.over, s.WireLength-s.Length, s.CompressedLength-s.Length)
	}
}

// TestConnsNotTold holds that stats handlers are told of calls only, and with ttrpc's lengths: ten bytes
// are before each message.
func TestConnsNotTold(t *testing.T) {
	h := new(connStats)
	server := newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server, grpcttrpc.WithServerStatsHandler(h)), echoes())
	client := connect(t, server, ttrpc.WithExtensions())
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client, grpcttrpc.WithClientStatsHandler(h)))
	if _, err := stub.UnaryCall(withDeadline(t), smallRequest); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := server.Shutdown(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	if n := h.conns.Load(); n != 0 {
		t.Errorf("B124: stats handlers are told %d times of connections", n)
	}
	if want := 4; len(h.over) != 2*want {
		t.Errorf("B124: stats handlers are told of %d messages, not %d", len(h.over)/2, want)
	}
	for i, n := range h.over {
		if n != []int{10, 0}[i%2] {
			t.Errorf("B124: a length is %d bytes more than the message's", n)
		}
	}
}

// TestNoRetries holds that no call is made twice, whatever it fails with.
func TestNoRetries(t *testing.T) {
	var calls atomic.Int32
	fails := func() error {
		calls.Add(1)
		return status.Error(codes.Unavailable, "again?")
	}
	server := newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary:  func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, fails() },
		duplex: func(testpb.TestService_FullDuplexCallServer) error { return fails() },
	})
	stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	_, unary := stub.UnaryCall(withDeadline(t), smallRequest, grpc.WaitForReady(true), grpc.MaxRetryRPCBufferSize(1<<20))
	s, stream := stub.FullDuplexCall(withDeadline(t), grpc.WaitForReady(true))
	if stream == nil {
		_, stream = s.Recv()
	}
	if status.Code(unary) != codes.Unavailable || status.Code(stream) != codes.Unavailable || calls.Load() != 2 {
		t.Errorf("B129: %v and %v are %d calls", unary, stream, calls.Load())
	}
}

// classicPair returns a stub on a classic connection of the server, in a bubble.
func classicPair(t *testing.T, server *ttrpc.Server) testpb.TestServiceClient {
	near, far := memconn.Pipe(0)
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	t.Cleanup(func() { client.Close() })
	return testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
}

// TestClassicCancel holds that a handler on a classic connection is not told that its call was cancelled.
func TestClassicCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := make(chan struct{}, 2), make(chan struct{}, 2)
		wait := func(ctx context.Context) error {
			began <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return ctx.Err()
		}
		server := newServer(t)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				return nil, wait(ctx)
			},
			duplex: func(s testpb.TestService_FullDuplexCallServer) error { return wait(s.Context()) },
		})
		stub := classicPair(t, server)
		ctx, cancel := context.WithCancel(t.Context())
		s, err := stub.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		go func() {
			_, err := stub.UnaryCall(ctx, smallRequest)
			told <- err
		}()
		<-began
		<-began
		cancel()
		_, err = s.Recv()
		for _, err := range []error{err, <-told} {
			if status.Code(err) != codes.Canceled {
				t.Errorf("B129: a call that was cancelled is %v", err)
			}
		}
		time.Sleep(time.Hour)
		if n := len(ended); n != 0 {
			t.Errorf("B121: %d handlers were told", n)
		}
		server.Close()
		<-ended
		<-ended // the connection's end is told
	})
}

// TestClassicStreamFull holds that a stream on a classic connection whose messages nobody takes fails.
func TestClassicStreamFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, ends := make(chan struct{}), make(chan error, 1)
		server := newServer(t)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				<-taken
				var err error
				for err == nil {
					_, err = s.Recv()
				}
				ends <- err
				return err
			},
			down: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
				for range 100 {
					if err := s.Send(outputOf(1)); err != nil {
						return err
					}
				}
				<-s.Context().Done() // the stream does not end before it fails
				return nil
			},
		})
		stub := classicPair(t, server)
		s, err := stub.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := s.Send(askFor(1)); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		close(taken)
		if err := <-ends; status.Code(err) != codes.ResourceExhausted || !errors.Is(err, ttrpc.ErrStreamFull) {
			t.Errorf("B123: a handler that takes nothing is told %v", err)
		}
		down, err := stub.StreamingOutputCall(t.Context(), askFor(1))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for err == nil {
			_, err = down.Recv()
		}
		if status.Code(err) != codes.ResourceExhausted || !errors.Is(err, ttrpc.ErrStreamFull) {
			t.Errorf("B129: a client that takes nothing is told %v", err)
		}
	})
}
