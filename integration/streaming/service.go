// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streaming is the service that the end-to-end tests call.
package streaming

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Service does what streaming.proto says of each method.
type Service struct{}

var _ StreamingService = Service{}

// Echo implements StreamingService.
func (Service) Echo(_ context.Context, req *EchoPayload) (*EchoPayload, error) {
	return &EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
}

// EchoStream implements StreamingService.
func (Service) EchoStream(_ context.Context, stream Streaming_EchoStreamServer) error {
	return each(stream.Recv, func(p *EchoPayload) error {
		p.Seq++
		return stream.Send(p)
	})
}

// SumStream implements StreamingService.
func (Service) SumStream(_ context.Context, stream Streaming_SumStreamServer) (*Sum, error) {
	sum := new(Sum)
	err := each(stream.Recv, func(p *Part) error {
		sum.Sum += p.Add
		sum.Num++
		return nil
	})
	return sum, err
}

// DivideStream implements StreamingService.
func (Service) DivideStream(_ context.Context, sum *Sum, stream Streaming_DivideStreamServer) error {
	rest := sum.Sum
	for parts := sum.Num; parts > 0; parts-- {
		part := rest / parts
		rest -= part
		if err := stream.Send(&Part{Add: part}); err != nil {
			return err
		}
	}
	return nil
}

// EchoNull implements StreamingService.
func (Service) EchoNull(_ context.Context, stream Streaming_EchoNullServer) (*emptypb.Empty, error) {
	err := each(stream.Recv, inOrder())
	return new(emptypb.Empty), err
}

// EchoNullStream implements StreamingService.
func (Service) EchoNullStream(_ context.Context, stream Streaming_EchoNullStreamServer) error {
	check := inOrder()
	return each(stream.Recv, func(p *EchoPayload) error {
		if err := check(p); err != nil {
			return err
		}
		return stream.Send(new(emptypb.Empty))
	})
}

// EmptyPayloadStream implements StreamingService.
func (Service) EmptyPayloadStream(_ context.Context, _ *emptypb.Empty, stream Streaming_EmptyPayloadStreamServer) error {
	for _, p := range []*EchoPayload{{}, {Seq: 1}, {Seq: 2, Msg: "not empty"}} {
		if err := stream.Send(p); err != nil {
			return err
		}
	}
	return nil
}

// each does something with every message that is received.
func each[M any](recv func() (M, error), do func(M) error) error {
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(m); err != nil {
			return err
		}
	}
}

// inOrder returns a function that refuses payloads not numbered from 0.
func inOrder() func(*EchoPayload) error {
	next := uint32(0)
	return func(p *EchoPayload) error {
		if p.Seq != next {
			return status.Errorf(codes.InvalidArgument, "seq %d where %d is next", p.Seq, next)
		}
		next++
		return nil
	}
}
