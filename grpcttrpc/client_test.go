// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// registerEcho registers a service that was written for ttrpc: UnaryCall returns the payload,
// StreamingOutputCall as many as the parameters say, StreamingInputCall the sum of their sizes,
// FullDuplexCall each.
func registerEcho(server *ttrpc.Server) {
	body := func(n int) *testpb.Payload { return &testpb.Payload{Body: make([]byte, n)} }
	server.RegisterService(testServiceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"UnaryCall": func(_ context.Context, unmarshal func(any) error) (any, error) {
				req := new(testpb.SimpleRequest)
				if err := unmarshal(req); err != nil {
					return nil, err
				}
				return &testpb.SimpleResponse{Payload: req.Payload}, nil
			},
		},
		Streams: map[string]ttrpc.Stream{
			"StreamingOutputCall": {StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				req := new(testpb.StreamingOutputCallRequest)
				if err := s.RecvMsg(req); err != nil {
					return nil, err
				}
				for _, p := range req.ResponseParameters {
					if err := s.SendMsg(&testpb.StreamingOutputCallResponse{Payload: body(int(p.Size))}); err != nil {
						return nil, err
					}
				}
				return nil, nil
			}},
			"StreamingInputCall": {StreamingClient: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				sum := 0
				for {
					req := new(testpb.StreamingInputCallRequest)
					if err := s.RecvMsg(req); err == io.EOF {
						return &testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)}, nil
					} else if err != nil {
						return nil, err
					}
					sum += len(req.Payload.GetBody())
				}
			}},
			"FullDuplexCall": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
				for {
					req := new(testpb.StreamingOutputCallRequest)
					if err := s.RecvMsg(req); err == io.EOF {
						return nil, nil
					} else if err != nil {
						return nil, err
					}
					if err := s.SendMsg(&testpb.StreamingOutputCallResponse{Payload: req.Payload}); err != nil {
						return nil, err
					}
				}
			}},
		},
	})
}

// inEachMode runs a test with a client on a classic connection, one in extended mode, and one of
// Dial's.
func inEachMode(t *testing.T, register func(*ttrpc.Server), test func(t *testing.T, client *ttrpc.Client)) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		register(server)
		test(t, connect(t, server, clientOpts...))
	})
	t.Run("dial", func(t *testing.T) {
		server := newServer(t, ttrpc.WithServerExtensions())
		register(server)
		peer, err := connect(t, server).Peer(withDeadline(t))
		if err != nil {
			t.Fatal(err)
		}
		client, err := ttrpc.Dial("unix:"+peer.Addr.String(), ttrpc.WithExtensions())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		test(t, client)
	})
}

// payloadOf returns a payload of n bytes.
func payloadOf(n int) *testpb.Payload { return &testpb.Payload{Body: make([]byte, n)} }

// TestKinds makes calls of all kinds to a service that was written for ttrpc.
func TestKinds(t *testing.T) {
	inEachMode(t, registerEcho, func(t *testing.T, client *ttrpc.Client) {
		ctx := context.Background()
		stub := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client))
		for _, opts := range [][]grpc.CallOption{nil, {grpc.MaxCallSendMsgSize(1 << 20)}} {
			got, err := stub.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payloadOf(7)}, opts...)
			if err != nil || len(got.GetPayload().GetBody()) != 7 {
				t.Fatalf("unary: %v, %v", got, err)
			}
			checkServerStream(t, stub, opts)
			checkClientStream(t, stub, opts)
			checkTwoWay(t, stub, opts)
		}
	})
}

func checkServerStream(t *testing.T, stub testpb.TestServiceClient, opts []grpc.CallOption) {
	t.Helper()
	stream, err := stub.StreamingOutputCall(context.Background(), &testpb.StreamingOutputCallRequest{
		ResponseParameters: []*testpb.ResponseParameters{{Size: 1}, {Size: 0}, {Size: 3}},
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0, 3} {
		got, err := stream.Recv()
		if err != nil || len(got.GetPayload().GetBody()) != want {
			t.Fatalf("server stream: %v, %v; want %d bytes", got, err, want)
		}
	}
	for range 2 {
		if got, err := stream.Recv(); err != io.EOF {
			t.Fatalf("server stream: %v, %v at the end", got, err)
		}
	}
}

func checkClientStream(t *testing.T, stub testpb.TestServiceClient, opts []grpc.CallOption) {
	t.Helper()
	stream, err := stub.StreamingInputCall(context.Background(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if err := stream.Send(&testpb.StreamingInputCallRequest{Payload: payloadOf(n)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil || got.AggregatedPayloadSize != 6 {
		t.Fatalf("client stream: %v, %v", got, err)
	}
	if err := stream.RecvMsg(got); err != io.EOF {
		t.Fatalf("client stream: %v at the end", err)
	}
}

func checkTwoWay(t *testing.T, stub testpb.TestServiceClient, opts []grpc.CallOption) {
	t.Helper()
	stream, err := stub.FullDuplexCall(context.Background(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payloadOf(n)}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || len(got.GetPayload().GetBody()) != n {
			t.Fatalf("two-way stream: %v, %v; want %d bytes", got, err, n)
		}
	}
	for range 2 {
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := stream.Recv(); err != io.EOF {
		t.Fatalf("two-way stream: %v, %v at the end", got, err)
	}
}
