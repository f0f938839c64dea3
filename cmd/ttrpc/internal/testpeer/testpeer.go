// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testpeer is the service demo.Greeter, for tests of the command. It also compiles
// with releases of ttrpc.
package testpeer

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/testpeer/demo"
)

// ServiceName is that of the service.
const ServiceName = "demo.Greeter"

// Register adds the service to a server.
func Register(s *ttrpc.Server) {
	s.RegisterService(ServiceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Greet":   unary(greet),
			"Wrap":    unary(wrap),
			"Unwrap":  unary(unwrap),
			"Fail":    unary(fail),
			"Inspect": unary(inspect),
			"Hang":    unary(hang),
			"Large":   unary(large),
		},
		Streams: map[string]ttrpc.Stream{
			"Count": {Handler: count, StreamingServer: true},
			"Sum":   {Handler: sum, StreamingClient: true},
			"Chat":  {Handler: chat, StreamingClient: true, StreamingServer: true},
		},
	})
}

// unary makes a method of a function.
func unary[Req any, PReq interface {
	*Req
	proto.Message
}, Resp any](f func(context.Context, PReq) (Resp, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		req := PReq(new(Req))
		if err := unmarshal(req); err != nil {
			return nil, err
		}
		return f(ctx, req)
	}
}

func greet(_ context.Context, r *demo.GreetRequest) (*demo.GreetReply, error) {
	if r.Name == "" {
		return nil, status.Error(codes.InvalidArgument, "nobody to greet")
	}
	text := "Hello, " + r.Name + "!"
	if r.Style == demo.Style_STYLE_LOUD {
		text = strings.ToUpper(text)
	}
	return &demo.GreetReply{Text: text}, nil
}

func wrap(ctx context.Context, r *demo.GreetRequest) (*demo.Envelope, error) {
	reply, err := greet(ctx, r)
	if err != nil {
		return nil, err
	}
	content, err := anypb.New(reply)
	return &demo.Envelope{Content: content}, err
}

func unwrap(_ context.Context, e *demo.Envelope) (*demo.GreetRequest, error) {
	r := new(demo.GreetRequest)
	// By its name alone, as containerd's Any values have no host.
	_, name, _ := strings.Cut("/"+e.GetContent().GetTypeUrl(), "/")
	if !strings.HasSuffix(name, "demo.GreetRequest") {
		return nil, status.Errorf(codes.InvalidArgument, "the content is %q", name)
	}
	return r, proto.Unmarshal(e.Content.Value, r)
}

func fail(_ context.Context, r *demo.FailRequest) (*emptypb.Empty, error) {
	st := status.New(codes.Code(r.Code), r.Message)
	if r.Detail != "" {
		var err error
		if st, err = st.WithDetails(protoadapt.MessageV1Of(&demo.GreetReply{Text: r.Detail})); err != nil {
			return nil, err
		}
	}
	return new(emptypb.Empty), st.Err()
}

func inspect(ctx context.Context, _ *emptypb.Empty) (*demo.Inspection, error) {
	found := &demo.Inspection{Metadata: map[string]string{}}
	md, _ := ttrpc.GetMetadata(ctx)
	for key, values := range md {
		found.Metadata[strings.ToLower(key)] = strings.Join(values, ",")
	}
	_, found.HasDeadline = ctx.Deadline()
	return found, nil
}

func hang(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Hour):
		return nil, errors.New("an hour has passed")
	}
}

func large(_ context.Context, n *demo.Number) (*demo.Blob, error) {
	if n.Value < 0 || n.Value > 64<<20 {
		return nil, status.Error(codes.OutOfRange, "between 0 and 64 MiB")
	}
	return &demo.Blob{Data: make([]byte, n.Value)}, nil
}

func count(_ context.Context, s ttrpc.StreamServer) (any, error) {
	var n demo.Number
	if err := s.RecvMsg(&n); err != nil {
		return nil, err
	}
	for i := range n.Value {
		if err := s.SendMsg(&demo.Number{Value: i + 1}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func sum(_ context.Context, s ttrpc.StreamServer) (any, error) {
	total := new(demo.Number)
	for {
		var n demo.Number
		if err := s.RecvMsg(&n); err == io.EOF {
			return total, nil
		} else if err != nil {
			return nil, err
		}
		total.Value += n.Value
	}
}

func chat(ctx context.Context, s ttrpc.StreamServer) (any, error) {
	for {
		var r demo.GreetRequest
		if err := s.RecvMsg(&r); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		reply, err := greet(ctx, &r)
		if err != nil {
			return nil, err
		}
		if err := s.SendMsg(reply); err != nil {
			return nil, err
		}
	}
}
