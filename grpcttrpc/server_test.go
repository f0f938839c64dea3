// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
)

// A testService is a service of gRPC's whose methods do what a test says.
type testService struct {
	testpb.UnimplementedTestServiceServer
	unary  func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error)
	down   func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error
	up     func(testpb.TestService_StreamingInputCallServer) error
	duplex func(testpb.TestService_FullDuplexCallServer) error
}

func (s *testService) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return s.unary(ctx, req)
}

func (s *testService) StreamingOutputCall(req *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	return s.down(req, stream)
}

func (s *testService) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	return s.up(stream)
}

func (s *testService) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	return s.duplex(stream)
}

// echoes is a service each of whose methods answers with what it was sent.
func echoes() *testService {
	return &testService{
		unary: func(_ context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{Payload: req.Payload}, nil
		},
		down: func(req *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
			for _, p := range req.ResponseParameters {
				if err := stream.Send(outputOf(int(p.Size))); err != nil {
					return err
				}
			}
			return nil
		},
		up: func(stream testpb.TestService_StreamingInputCallServer) error {
			var sum int32
			for {
				req, err := stream.Recv()
				if err == io.EOF {
					return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: sum})
				}
				if err != nil {
					return err
				}
				sum += int32(len(req.Payload.GetBody()))
			}
		},
		duplex: func(stream testpb.TestService_FullDuplexCallServer) error {
			for {
				req, err := stream.Recv()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: req.Payload}); err != nil {
					return err
				}
			}
		},
	}
}

func outputOf(size int) *testpb.StreamingOutputCallResponse {
	return &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, size)}}
}

func inputOf(size int) *testpb.StreamingInputCallRequest {
	return &testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, size)}}
}

func askFor(size int) *testpb.StreamingOutputCallRequest {
	return &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: make([]byte, size)}}
}

const testServiceName = "grpc.testing.TestService"

// newServer returns a ttrpc server that ends with the test.
func newServer(t testing.TB, opts ...ttrpc.ServerOpt) *ttrpc.Server {
	t.Helper()
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// connect returns a client of the server, over a unix socket.
func connect(t testing.TB, server *ttrpc.Server, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	return serveWith(t, context.Background(), server, opts...)
}

// serveWith is connect with the context for Serve.
func serveWith(t testing.TB, ctx context.Context, server *ttrpc.Server, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-done
	})
	return client
}

// withDeadline returns a context that ends what hangs.
func withDeadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// onBothModes runs a test in extended mode and on a classic connection.
func onBothModes(t *testing.T, test func(*testing.T, []ttrpc.ServerOpt, []ttrpc.ClientOpts)) {
	t.Run("extended", func(t *testing.T) {
		test(t, []ttrpc.ServerOpt{ttrpc.WithServerExtensions()}, []ttrpc.ClientOpts{ttrpc.WithExtensions()})
	})
	t.Run("classic", func(t *testing.T) { test(t, nil, nil) })
}

// TestTTRPCClient has a ttrpc client call a gRPC service, with all four kinds of calls.
func TestTTRPCClient(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		server := newServer(t, serverOpts...)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), echoes())
		client := connect(t, server, clientOpts...)
		ctx := withDeadline(t)

		req, resp := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("unary")}}, new(testpb.SimpleResponse)
		if err := client.Call(ctx, testServiceName, "UnaryCall", req, resp); err != nil || string(resp.Payload.GetBody()) != "unary" {
			t.Errorf("B120: the answer is %v, %v", resp, err)
		}

		down, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, testServiceName, "StreamingOutputCall",
			&testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 3}, {Size: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		wantSizes(t, down, 3, 1)

		up, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true}, testServiceName, "StreamingInputCall", nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := new(testpb.StreamingInputCallResponse)
		err = errors.Join(up.SendMsg(inputOf(3)), up.SendMsg(inputOf(4)), up.CloseSend(), up.RecvMsg(sum))
		if err != nil || sum.AggregatedPayloadSize != 7 {
			t.Errorf("B120: the sum is %v, %v", sum, err)
		}

		both, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, testServiceName, "FullDuplexCall", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(both.SendMsg(askFor(5)), both.SendMsg(askFor(6)), both.CloseSend()); err != nil {
			t.Fatal(err)
		}
		wantSizes(t, both, 5, 6)
	})
}

// wantSizes holds that a stream brings messages with payloads of these sizes, and then ends.
func wantSizes(t *testing.T, stream ttrpc.ClientStream, want ...int) {
	t.Helper()
	var got []int
	for {
		m := new(testpb.StreamingOutputCallResponse)
		err := stream.RecvMsg(m)
		if err == nil {
			got = append(got, len(m.Payload.GetBody()))
			continue
		}
		if err != io.EOF || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("B120: the sizes are %v and then %v, not %v", got, err, want)
		}
		return
	}
}

// TestAnswersToStreams holds what a handler has to do with a stream of the client's: send
// one message and return nil.
func TestAnswersToStreams(t *testing.T) {
	answer := &testpb.StreamingInputCallResponse{AggregatedPayloadSize: 9}
	for name, c := range map[string]struct {
		up   func(testpb.TestService_StreamingInputCallServer) error
		want error
	}{
		"one": {up: func(s testpb.TestService_StreamingInputCallServer) error { return s.SendAndClose(answer) }},
		"none": {
			up:   func(testpb.TestService_StreamingInputCallServer) error { return nil },
			want: status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC"),
		},
		"two": {
			up: func(s testpb.TestService_StreamingInputCallServer) error {
				s.SendMsg(answer)
				s.SendMsg(answer)
				return nil
			},
			want: status.Error(codes.Internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"),
		},
		"error after one": {
			up: func(s testpb.TestService_StreamingInputCallServer) error {
				s.SendMsg(answer)
				return status.Error(codes.Aborted, "after all")
			},
			want: status.Error(codes.Aborted, "after all"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newServer(t, ttrpc.WithServerExtensions())
			testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{up: c.up})
			client := connect(t, server, ttrpc.WithExtensions())
			s, err := client.NewStream(withDeadline(t), &ttrpc.StreamDesc{StreamingClient: true}, testServiceName, "StreamingInputCall", nil)
			if err != nil {
				t.Fatal(err)
			}
			got := new(testpb.StreamingInputCallResponse)
			err = s.RecvMsg(got)
			if fmt.Sprint(err) != fmt.Sprint(c.want) || err == nil && !proto.Equal(got, answer) {
				t.Errorf("B120: the answer is %v, %v, not %v", got, err, c.want)
			}
		})
	}
}

// TestRegister holds what RegisterService refuses.
func TestRegister(t *testing.T) {
	server := newServer(t)
	r := grpcttrpc.NewRegistrar(server)
	testpb.RegisterTestServiceServer(r, echoes())
	for want, register := range map[string]func(){
		"duplicate service grpc.testing.TestService registered": func() { testpb.RegisterTestServiceServer(r, echoes()) },
		"grpcttrpc: the handler of grpc.testing.TestService is a int, which is no grpc_testing.TestServiceServer": func() {
			r.RegisterService(&testpb.TestService_ServiceDesc, 3)
		},
		"grpcttrpc: NewRegistrar was given no server": func() { grpcttrpc.NewRegistrar(nil) },
		"grpcttrpc: option 0 of NewRegistrar is nil":  func() { grpcttrpc.NewRegistrar(server, nil) },
		"grpcttrpc: a stats handler is nil":           func() { grpcttrpc.WithServerStatsHandler(nil) },
		"grpcttrpc: a unary interceptor is nil":       func() { grpcttrpc.WithChainUnaryServerInterceptor(nil) },
		"grpcttrpc: a stream interceptor is nil":      func() { grpcttrpc.WithChainStreamServerInterceptor(nil) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != want {
					t.Errorf("B120: the panic is %q, not %q", got, want)
				}
			}()
			register()
		}()
	}
	var _ grpc.ServiceRegistrar = r
}
