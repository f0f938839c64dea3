// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// withStub makes of a case that takes a stub one that takes what stubs are made of.
func withStub(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, grpc.ClientConnInterface) {
	return func(ctx context.Context, cc grpc.ClientConnInterface) {
		run(ctx, testgrpc.NewTestServiceClient(cc))
	}
}

func unimplementedService(ctx context.Context, cc grpc.ClientConnInterface) {
	interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
}

// unimplementedMethod is gRPC's own, which takes a connection of gRPC and sends no message.
func unimplementedMethod(ctx context.Context, cc grpc.ClientConnInterface) {
	const method = "/grpc.testing.TestService/UnimplementedCall"
	err := cc.Invoke(ctx, method, new(testgrpc.Empty), new(testgrpc.Empty))
	if status.Code(err) != codes.Unimplemented {
		panic(fmt.Sprintf("%s: %v, want %v", method, err, codes.Unimplemented))
	}
}

// halfDuplex is described by gRPC, and served, but not called by it: the answers come once
// the client has ended what it sends.
func halfDuplex(ctx context.Context, cc grpc.ClientConnInterface) {
	stream, err := testgrpc.NewTestServiceClient(cc).HalfDuplexCall(ctx)
	if err != nil {
		panic(err)
	}
	sizes := []int32{31415, 9, 2653, 58979}
	for _, size := range sizes {
		request := &testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}},
			Payload:            interop.ClientNewPayload(testgrpc.PayloadType_COMPRESSABLE, 27182),
		}
		if err := stream.Send(request); err != nil {
			panic(fmt.Sprintf("Send: %v", err))
		}
	}
	if err := stream.CloseSend(); err != nil {
		panic(fmt.Sprintf("CloseSend: %v", err))
	}
	for _, size := range sizes {
		answer, err := stream.Recv()
		if err != nil {
			panic(fmt.Sprintf("Recv: %v", err))
		}
		if got := len(answer.GetPayload().GetBody()); got != int(size) {
			panic(fmt.Sprintf("an answer of %d bytes, want %d", got, size))
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		panic(fmt.Sprintf("after the last answer: %v, want EOF", err))
	}
}
