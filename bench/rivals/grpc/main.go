// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Grpc is gRPC.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/containerd/ttrpc/bench/measure"
	"github.com/containerd/ttrpc/bench/rivals/message"
)

func main() { measure.Main(measure.System{Serve: serveGRPC, Dial: dialGRPC}) }

func serveGRPC(l net.Listener) {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(16<<20), grpc.MaxSendMsgSize(16<<20))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Echo", Handler: handleUnary(func(m *message.Message) *message.Message { return m })},
			{MethodName: "Get", Handler: handleUnary(func(m *message.Message) *message.Message { return message.New(measure.Number(m.Value)) })},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Upload", Handler: handleUpload, ClientStreams: true},
			{StreamName: "Download", Handler: handleDownload, ServerStreams: true},
			{StreamName: "Chat", Handler: handleChat, ClientStreams: true, ServerStreams: true},
		},
	}, nil)
	log.Fatal(s.Serve(l))
}

func handleUnary(answer func(*message.Message) *message.Message) grpc.MethodHandler {
	return func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		m := new(message.Message)
		if err := decode(m); err != nil {
			return nil, err
		}
		return answer(m), nil
	}
}

func handleUpload(_ any, s grpc.ServerStream) error {
	for {
		m := new(message.Message)
		if err := s.RecvMsg(m); err == io.EOF {
			return s.SendMsg(m)
		} else if err != nil {
			return err
		}
	}
}

func handleDownload(_ any, s grpc.ServerStream) error {
	m := new(message.Message)
	if err := s.RecvMsg(m); err != nil {
		return err
	}
	for range measure.Number(m.Value) {
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
	return nil
}

func handleChat(_ any, s grpc.ServerStream) error {
	for {
		m := new(message.Message)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

type grpcClient struct{ conn *grpc.ClientConn }

func dialGRPC(path string) (measure.Client, error) {
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)))
	if err != nil {
		return nil, err
	}
	// By itself it would connect with the first call only.
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		conn.WaitForStateChange(context.Background(), state)
	}
	return grpcClient{conn}, nil
}

func (c grpcClient) Close() { c.conn.Close() }

func (c grpcClient) Caller(size, answer int) func(context.Context) error {
	method, request := measure.MethodFor(size, answer), message.RequestFor(size, answer)
	return func(ctx context.Context) error {
		response := new(message.Message)
		if err := c.conn.Invoke(ctx, "/bench.Echo/"+method, request, response); err != nil {
			return err
		}
		return measure.CheckSize(len(response.Value), answer)
	}
}

func (c grpcClient) Stream(ctx context.Context, kind measure.StreamKind, size, count int) (measure.Stream, error) {
	desc := &grpc.StreamDesc{ClientStreams: kind != measure.Download, ServerStreams: kind != measure.Upload}
	s, err := c.conn.NewStream(ctx, desc, "/bench.Echo/"+measure.StreamNames[kind])
	if err != nil {
		return nil, err
	}
	if kind == measure.Download {
		if err := errors.Join(s.SendMsg(message.RequestFor(size, count)), s.CloseSend()); err != nil {
			return nil, err
		}
	}
	return &grpcStream{s, message.New(size), size, kind}, nil
}

type grpcStream struct {
	grpc.ClientStream
	message *message.Message
	size    int
	kind    measure.StreamKind
}

func (s *grpcStream) Send() error { return s.SendMsg(s.message) }

func (s *grpcStream) Receive() error {
	m := new(message.Message)
	if err := s.RecvMsg(m); err != nil {
		return err
	}
	return measure.CheckSize(len(m.Value), s.size)
}

func (s *grpcStream) Finish() error {
	if s.kind != measure.Download {
		if err := s.CloseSend(); err != nil {
			return err
		}
	}
	return measure.EndOf(s.kind, s.RecvMsg(new(message.Message)))
}
