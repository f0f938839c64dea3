// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// A plainHop is a proxy from gRPC to gRPC, which passes messages without copying them: what a
// bridge is measured beside.
type plainHop struct{ conn *grpc.ClientConn }

type passed struct{ data mem.BufferSlice }

type passCodec struct{ encoding.CodecV2 }

func (passCodec) Marshal(v any) (mem.BufferSlice, error) { return v.(*passed).data, nil }

func (passCodec) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	v.(*passed).data = data
	return nil
}

func (passCodec) Name() string { return "proto" }

func (h plainHop) handle(_ any, down grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	path, _ := grpc.MethodFromServerStream(down)
	up, err := h.conn.NewStream(metadata.NewOutgoingContext(ctx, md), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path, grpc.ForceCodecV2(passCodec{}))
	if err != nil {
		return err
	}
	go func() {
		for {
			m := new(passed)
			if err := down.RecvMsg(m); err == io.EOF {
				_ = up.CloseSend()
				return
			} else if err != nil || up.SendMsg(m) != nil {
				cancel()
				return
			}
		}
	}()
	header, err := up.Header()
	if err != nil {
		return err
	}
	if err := down.SetHeader(header); err != nil {
		return err
	}
	for {
		m := new(passed)
		if err := up.RecvMsg(m); err == io.EOF {
			down.SetTrailer(up.Trailer())
			return nil
		} else if err != nil {
			down.SetTrailer(up.Trailer())
			return err
		}
		if err := down.SendMsg(m); err != nil {
			return err
		}
	}
}

// echoing answers with what it gets.
type echoing struct {
	testpb.UnimplementedTestServiceServer
}

func (echoing) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: r.Payload}, nil
}

func (echoing) FullDuplexCall(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: m.Payload}); err != nil {
			return err
		}
	}
}

// hops returns stubs that reach the same service by a hop of each kind.
func hops(b *testing.B) map[string]testpb.TestServiceClient {
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, echoing{})
	target := serveGRPC(b, server)
	address := serveTTRPC(b, func(s *ttrpc.Server) {
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(s), echoing{})
	}, ttrpc.WithServerExtensions())
	hop := plainHop{dialGRPC(b, target)}
	proxy := grpc.NewServer(grpc.ForceServerCodecV2(passCodec{}), grpc.UnknownServiceHandler(hop.handle))
	config := bridge.Config{Methods: []bridge.Methods{described(b)}}
	front := dialTTRPC(b, toGRPC(b, target, config, ttrpc.WithServerExtensions()), ttrpc.WithExtensions())
	return map[string]testpb.TestServiceClient{
		"grpc-grpc":  testpb.NewTestServiceClient(dialGRPC(b, serveGRPC(b, proxy))),
		"grpc-ttrpc": testpb.NewTestServiceClient(toTTRPC(b, address, config, ttrpc.WithExtensions())),
		"ttrpc-grpc": testpb.NewTestServiceClient(grpcttrpc.NewClientConn(front)),
	}
}

// BenchmarkHop measures what passes one hop: grpc-grpc is a plain proxy of grpc-go, the others are
// the bridge. Each line is to be held beside that of grpc-grpc.
func BenchmarkHop(b *testing.B) {
	clients := hops(b)
	for _, size := range []int32{64, 64 << 10, 1 << 20} {
		for _, name := range []string{"grpc-grpc", "grpc-ttrpc", "ttrpc-grpc"} {
			client, request := clients[name], &testpb.SimpleRequest{Payload: body(size)}
			b.Run(fmt.Sprintf("calls-%d/%s", size, name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := client.UnaryCall(context.Background(), request); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
			b.Run(fmt.Sprintf("stream-%d/%s", size, name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				benchmarkStream(b, client, body(size))
			})
		}
	}
}

// benchmarkStream sends messages on one stream and receives as many.
func benchmarkStream(b *testing.B, client testpb.TestServiceClient, payload *testpb.Payload) {
	s, err := client.FullDuplexCall(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for range b.N {
			if err := s.Send(&testpb.StreamingOutputCallRequest{Payload: payload}); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for range b.N {
		if _, err := s.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	if _, err := s.Recv(); err != io.EOF {
		b.Fatal(err)
	}
}

// TestPlainHop holds that the hop that a bridge is measured beside works.
func TestPlainHop(t *testing.T) {
	h := newHandlers()
	server := grpc.NewServer()
	h.registerGRPC(server)
	hop := plainHop{dialGRPC(t, serveGRPC(t, server))}
	proxy := grpc.NewServer(grpc.ForceServerCodecV2(passCodec{}), grpc.UnknownServiceHandler(hop.handle))
	client := testpb.NewTestServiceClient(dialGRPC(t, serveGRPC(t, proxy)))
	s, err := client.StreamingOutputCall(bounded(t), asking(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	wantBodies(t, s, 1, 2)
	failing := &testpb.EchoStatus{Code: int32(codes.Aborted), Message: "not now"}
	if _, err := client.UnaryCall(bounded(t), &testpb.SimpleRequest{ResponseStatus: failing}); status.Code(err) != codes.Aborted {
		t.Error(err)
	}
}
