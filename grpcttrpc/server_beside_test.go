// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// TestContexts holds what handlers find in their contexts.
func TestContexts(t *testing.T) {
	r := new(report)
	look := func(ctx context.Context) {
		md, ok := metadata.FromIncomingContext(ctx)
		r.say("incoming %v %s", ok, ofUsers(md))
		r.say("x is %q, X %q", metadata.ValueFromIncomingContext(ctx, "x"), metadata.ValueFromIncomingContext(ctx, "X"))
		md, ok = metadata.FromOutgoingContext(ctx)
		r.say("outgoing %v %v", ok, md)
		name, ok := grpc.Method(ctx)
		r.say("method %q %v", name, ok)
		p, ok := peer.FromContext(ctx)
		r.say("peer %v %v %v %v", ok, p.Addr != nil, p.LocalAddr != nil, p.AuthInfo)
		left, ok := ctx.Deadline()
		r.say("deadline %v %v", ok, time.Until(left) > 0)
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "own", "1"))
		md, ok = metadata.FromOutgoingContext(ctx)
		r.say("its own outgoing %v %v", ok, md)
		cancel()
		r.say("%v", ctx.Err())
	}
	service := &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			look(ctx)
			return nil, ctx.Err()
		},
		duplex: func(stream testpb.TestService_FullDuplexCallServer) error {
			look(stream.Context())
			name, ok := grpc.MethodFromServerStream(stream)
			r.say("%q %v", name, ok)
			return nil
		},
	}
	besideGRPC(t, "B121", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := testpb.NewTestServiceClient(cc)
		for _, kv := range [][]string{nil, {"x", "1", "X", "2", "y", ""}, {"b-bin", "\x00\xff", "B-bin", "", "x", "1"}, {"grpc-x", "1", "te", "x"}} {
			ctx := metadata.AppendToOutgoingContext(ctx, kv...)
			_, err := client.UnaryCall(ctx, new(testpb.SimpleRequest))
			r.got("%v", err)
			stream, err := client.FullDuplexCall(ctx)
			r.got("%v", err)
			_, err = stream.Recv()
			r.got("%v", err)
		}
	})
}

// TestErrors holds which statuses the errors of handlers are.
func TestErrors(t *testing.T) {
	detailed, err := status.New(codes.NotFound, "no such").WithDetails(inputOf(3), new(testpb.Empty))
	if err != nil {
		t.Fatal(err)
	}
	r := new(report)
	for name, fails := range map[string]error{
		"plain":               errors.New("plain"),
		"status":              status.Error(codes.DataLoss, "lost"),
		"details":             detailed.Err(),
		"wrapped":             fmt.Errorf("wrapped: %w", detailed.Err()),
		"code of its own":     status.Error(99, "99"),
		"invalid UTF-8":       status.Error(codes.Aborted, "a\xffb"),
		"percent":             status.Error(codes.Aborted, "100 % ü\n"),
		"Canceled":            context.Canceled,
		"DeadlineExceeded":    context.DeadlineExceeded,
		"wrapped Canceled":    fmt.Errorf("wrapped: %w", context.Canceled),
		"io.EOF":              io.EOF,
		"os.ErrNotExist":      os.ErrNotExist,
		"io.ErrUnexpectedEOF": io.ErrUnexpectedEOF,
	} {
		service := &testService{
			unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, fails },
			down: func(_ *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
				stream.Send(outputOf(1))
				return fails
			},
			up:     func(testpb.TestService_StreamingInputCallServer) error { return fails },
			duplex: func(testpb.TestService_FullDuplexCallServer) error { return fails },
		}
		t.Run(name, func(t *testing.T) {
			besideGRPC(t, "B123", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
				for _, err := range errorsOfAll(ctx, testpb.NewTestServiceClient(cc)) {
					st, ok := status.FromError(err)
					r.got("%v %v %q %v", ok, st.Code(), st.Message(), st.Details())
				}
			})
		})
	}
}

// errorsOfAll makes a call of each kind and returns the errors.
func errorsOfAll(ctx context.Context, client testpb.TestServiceClient) []error {
	_, unary := client.UnaryCall(ctx, new(testpb.SimpleRequest))
	down, err := client.StreamingOutputCall(ctx, new(testpb.StreamingOutputCallRequest))
	for err == nil {
		_, err = down.Recv()
	}
	up, fails := client.StreamingInputCall(ctx)
	if fails == nil {
		_, fails = up.CloseAndRecv()
	}
	duplex, last := client.FullDuplexCall(ctx)
	if last == nil {
		duplex.CloseSend()
		_, last = duplex.Recv()
	}
	return []error{unary, err, fails, last}
}

// TestAnswerMetadata holds what becomes of headers and trailers, of calls and streams, with
// success and with errors.
func TestAnswerMetadata(t *testing.T) {
	r := new(report)
	describe := func(ctx context.Context) {
		r.say("nothing: %s %s", codeOf(grpc.SetHeader(ctx, nil)), codeOf(grpc.SetTrailer(ctx, nil)))
		r.say("SetHeader: %v", grpc.SetHeader(ctx, pairs("H", "1", "b-bin", "\x00", "grpc-status", "7", "te", "t")))
		r.say("SetTrailer: %v", grpc.SetTrailer(ctx, pairs("t", "1", "t", "2")))
		r.say("SetHeader: %v", grpc.SetHeader(ctx, pairs("h", "2")))
	}
	late := func(ctx context.Context) {
		r.say("SendHeader: %v", grpc.SendHeader(ctx, pairs("h", "3")))
		r.say("SetHeader: %s", codeOf(grpc.SetHeader(ctx, pairs("h", "4"))))
		r.say("SendHeader: %s", codeOf(grpc.SendHeader(ctx, pairs("h", "5"))))
		r.say("SetTrailer: %v", grpc.SetTrailer(ctx, pairs("t", "3")))
	}
	for name, c := range map[string]struct {
		late  bool
		fails error
	}{
		"success": {}, "sent": {late: true},
		"error": {fails: status.Error(codes.Aborted, "no")}, "error, sent": {true, status.Error(codes.Aborted, "no")},
	} {
		tell := func(ctx context.Context) {
			if describe(ctx); c.late {
				late(ctx)
			}
		}
		service := &testService{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				tell(ctx)
				return new(testpb.SimpleResponse), c.fails
			},
			duplex: func(stream testpb.TestService_FullDuplexCallServer) error {
				tell(stream.Context())
				stream.SetTrailer(pairs("t", "4"))
				stream.SetTrailer(nil)
				if c.fails == nil {
					r.say("Send: %v", stream.Send(outputOf(1)))
					r.say("SetHeader: %s", codeOf(stream.SetHeader(pairs("h", "6"))))
					r.say("SendHeader: %s", codeOf(stream.SendHeader(pairs("h", "6"))))
					r.say("nothing: %s", codeOf(stream.SetHeader(nil)))
				}
				return c.fails
			},
			up: func(stream testpb.TestService_StreamingInputCallServer) error {
				tell(stream.Context())
				if c.fails == nil {
					r.say("Send: %v", stream.SendAndClose(new(testpb.StreamingInputCallResponse)))
					r.say("SetHeader: %s", codeOf(stream.SetHeader(pairs("h", "6"))))
					r.say("SendHeader: %s", codeOf(stream.SendHeader(pairs("h", "6"))))
				}
				return c.fails
			},
		}
		t.Run(name, func(t *testing.T) {
			besideGRPC(t, "B122", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
				client := testpb.NewTestServiceClient(cc)
				var header, trailer metadata.MD
				_, err := client.UnaryCall(ctx, new(testpb.SimpleRequest), grpc.Header(&header), grpc.Trailer(&trailer))
				r.got("%v, %s, %s", err, ofUsers(header), ofUsers(trailer))
				up, err := client.StreamingInputCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				_, err = up.CloseAndRecv()
				header, _ = headerOf(r, up)
				r.got("%v, %s, %s", err, ofUsers(header), ofUsers(up.Trailer()))
				duplex, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = duplex.Recv()
				}
				header, _ = headerOf(r, duplex)
				r.got("%v, %s, %s", err, ofUsers(header), ofUsers(duplex.Trailer()))
			})
		})
	}
}

// TestIllegalMetadata holds what a stream refuses to put into headers and trailers.
func TestIllegalMetadata(t *testing.T) {
	r := new(report)
	service := &testService{duplex: func(stream testpb.TestService_FullDuplexCallServer) error {
		for _, md := range []metadata.MD{{"a b": {"1"}}, {"": {"1"}}, {"k": {"\x00"}}, {"k": {"ü"}}, {"ü": {"1"}}, {":p": {"1"}}, {"grpc-status": {"1"}}, {"Upper": {"1"}}, {"te": {"\x00"}}, {":P": {"\x00"}}} {
			r.say("SetHeader: %v", stream.SetHeader(md))
		}
		r.say("SendHeader: %v", stream.SendHeader(metadata.MD{"a b": {"1"}}))
		r.say("SendHeader: %v", stream.SendHeader(metadata.MD{"Upper": {"1"}}))
		r.say("SetHeader: %v", stream.SetHeader(pairs("fine", "1")))
		return nil
	}}
	besideGRPC(t, "B122", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		duplex, err := testpb.NewTestServiceClient(cc).FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = duplex.Recv()
		header, _ := duplex.Header()
		r.got("%v, %s, %s", err, ofUsers(header), ofUsers(duplex.Trailer()))
	})
}

// TestEarlyHeader holds that a header that is sent arrives while the handler still runs.
func TestEarlyHeader(t *testing.T) {
	r := new(report)
	service := &testService{duplex: func(stream testpb.TestService_FullDuplexCallServer) error {
		stream.SendHeader(pairs("h", "1"))
		_, err := stream.Recv()
		r.say("then %v", err)
		return nil
	}}
	besideGRPC(t, "B122", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		duplex, err := testpb.NewTestServiceClient(cc).FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		header, err := duplex.Header()
		r.got("%s %v", ofUsers(header), err)
		duplex.CloseSend()
		_, err = duplex.Recv()
		r.got("%v", err)
	})
}

func headerOf(r *report, s grpc.ClientStream) (metadata.MD, error) {
	md, err := s.Header()
	r.got("Header: %v", err)
	return md, err
}
