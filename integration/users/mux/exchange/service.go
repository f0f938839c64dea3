// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package exchange

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Service is the name of what both ends serve.
const Service = "users.Exchange"

// Pattern returns n bytes that differ from those of other seeds, and in which
// nothing repeats that could hide a part that was lost or moved.
func Pattern(seed, n int) []byte {
	data := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

func (e *End) register() {
	e.Server.RegisterService(Service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo":  echo,
			"Bytes": someBytes,
			"Drive": e.drive,
		},
		Streams: map[string]ttrpc.Stream{
			"EchoStream": {Handler: echoStream, StreamingClient: true, StreamingServer: true},
			"Sum":        {Handler: sum, StreamingClient: true},
			"Count":      {Handler: count, StreamingServer: true},
		},
	})
}

func echo(_ context.Context, unmarshal func(any) error) (any, error) {
	in := new(wrapperspb.BytesValue)
	return in, unmarshal(in)
}

// someBytes answers with a pattern of a wanted length, which is its seed, too.
func someBytes(_ context.Context, unmarshal func(any) error) (any, error) {
	in := new(wrapperspb.Int64Value)
	if err := unmarshal(in); err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(Pattern(int(in.Value), int(in.Value))), nil
}

// drive makes this end do to the other what the other does to it.
func (e *End) drive(ctx context.Context, unmarshal func(any) error) (any, error) {
	in := new(emptypb.Empty)
	if err := unmarshal(in); err != nil {
		return nil, err
	}
	return in, Drive(ctx, e.Client)
}

func echoStream(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(in); err != nil {
			return nil, err
		}
	}
}

// sum answers with the number of messages that came, if each is the pattern of
// its place among them.
func sum(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	for i := 0; ; i++ {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err == io.EOF {
			return wrapperspb.Int64(int64(i)), nil
		} else if err != nil {
			return nil, err
		}
		if err := same(i, len(in.Value), in.Value); err != nil {
			return nil, fmt.Errorf("message %d of a sum: %w", i, err)
		}
	}
}

// count sends a wanted number of messages, each the pattern of its place.
func count(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	in := new(wrapperspb.Int64Value)
	if err := stream.RecvMsg(in); err != nil {
		return nil, err
	}
	for i := range int(in.Value) {
		if err := stream.SendMsg(wrapperspb.Bytes(Pattern(i, StreamSize(i)))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
