// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// goldenService is the service that the recorded server ran.
func goldenService() *ServiceDesc {
	fails := func(err error) Method {
		return func(context.Context, func(any) error) (any, error) { return nil, err }
	}
	detailed, _ := status.New(codes.FailedPrecondition, "not now").WithDetails(wrapperspb.String("detail"))
	return &ServiceDesc{
		Methods: map[string]Method{
			"Echo":        goldenEcho,
			"Empty":       goldenEcho,
			"Meta":        goldenMeta,
			"HasDeadline": goldenHasDeadline,
			"Nil":         fails(nil),
			"Plain":       fails(errors.New("plain failure")),
			"NotExist":    fails(os.ErrNotExist),
			"WrapNotEx":   fails(fmt.Errorf("outer: %w", os.ErrNotExist)),
			"Canceled":    fails(context.Canceled),
			"Deadline":    fails(context.DeadlineExceeded),
			"EOF":         fails(io.EOF),
			"Status":      fails(detailed.Err()),
			"Wrapped":     fails(fmt.Errorf("outer: %w", status.Error(codes.Aborted, "inner"))),
			"BadType":     func(context.Context, func(any) error) (any, error) { return 42, nil },
		},
		Streams: map[string]Stream{
			"Bidi":  {Handler: goldenBidi, StreamingClient: true, StreamingServer: true},
			"Sum":   {Handler: goldenSum, StreamingClient: true},
			"Count": {Handler: goldenCountTo, StreamingServer: true},
		},
	}
}

func goldenEcho(_ context.Context, unmarshal func(any) error) (any, error) {
	m := new(wrapperspb.StringValue)
	return m, unmarshal(m)
}

func goldenMeta(ctx context.Context, unmarshal func(any) error) (any, error) {
	var key wrapperspb.StringValue
	if err := unmarshal(&key); err != nil {
		return nil, err
	}
	value, _ := GetMetadataValue(ctx, key.Value)
	return wrapperspb.String(value), nil
}

func goldenHasDeadline(ctx context.Context, _ func(any) error) (any, error) {
	_, ok := ctx.Deadline()
	return wrapperspb.Bool(ok), nil
}

func goldenBidi(_ context.Context, stream StreamServer) (any, error) {
	for {
		var m wrapperspb.StringValue
		switch err := stream.RecvMsg(&m); {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, err
		case m.Value == "fail":
			return nil, status.Error(codes.DataLoss, "asked to fail")
		}
		if err := stream.SendMsg(&m); err != nil {
			return nil, err
		}
	}
}

func goldenSum(_ context.Context, stream StreamServer) (any, error) {
	sum := new(wrapperspb.Int64Value)
	for {
		var m wrapperspb.Int64Value
		switch err := stream.RecvMsg(&m); {
		case err == io.EOF:
			return sum, nil
		case err != nil:
			return nil, err
		}
		sum.Value += m.Value
	}
}

func goldenCountTo(_ context.Context, stream StreamServer) (any, error) {
	var to wrapperspb.Int64Value
	if err := stream.RecvMsg(&to); err != nil {
		return nil, err
	}
	for i := range to.Value {
		if err := stream.SendMsg(wrapperspb.Int64(i)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
