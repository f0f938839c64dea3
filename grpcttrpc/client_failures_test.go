// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var smallRequest = &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 7)}}

// waits is a service whose methods wait until their context ends. Where there is begun they tell it
// that they have begun.
func waits(begun chan<- struct{}) *testService {
	wait := func(ctx context.Context) error {
		if begun != nil {
			begun <- struct{}{}
		}
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	return &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return nil, wait(ctx)
		},
		down: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
			return wait(s.Context())
		},
		up:     func(s testpb.TestService_StreamingInputCallServer) error { return wait(s.Context()) },
		duplex: func(s testpb.TestService_FullDuplexCallServer) error { return wait(s.Context()) },
	}
}

// eachKind makes a call of each kind and notes its end.
func eachKind(r *clientRun, ctx func() context.Context, note func(string, error), opts ...grpc.CallOption) {
	_, err := r.stub.UnaryCall(ctx(), smallRequest, opts...)
	note("unary", err)
	down, err := r.stub.StreamingOutputCall(ctx(), askFor(7), opts...)
	if err == nil {
		_, err = down.Recv()
	}
	note("down", err)
	up, err := r.stub.StreamingInputCall(ctx(), opts...)
	if err == nil {
		err = up.Send(inputOf(7))
	}
	if err == nil || err == io.EOF {
		_, err = up.CloseAndRecv()
	}
	note("up", err)
	duplex, err := r.stub.FullDuplexCall(ctx(), opts...)
	if err == nil {
		err = duplex.Send(askFor(7))
	}
	if err == nil || err == io.EOF {
		_, err = duplex.Recv()
	}
	note("duplex", err)
}

// TestContextEnds has contexts end before calls and while they run.
func TestContextEnds(t *testing.T) {
	begun := make(chan struct{}, 1)
	(&clientCase{service: waits(begun), run: func(r *clientRun) {
		eachKind(r, func() context.Context {
			ctx, cancel := context.WithCancel(r.ctx)
			cancel()
			return ctx
		}, r.noteErr)
		eachKind(r, func() context.Context {
			ctx, cancel := context.WithTimeout(r.ctx, 0)
			r.Cleanup(cancel)
			return ctx
		}, r.noteErr)
		eachKind(r, func() context.Context {
			ctx, cancel := context.WithCancel(r.ctx)
			go func() {
				<-begun
				cancel()
			}()
			return ctx
		}, r.noteErr)
	}}).besideClassic(t)
	(&clientCase{service: waits(nil), run: func(r *clientRun) {
		eachKind(r, func() context.Context {
			ctx, cancel := context.WithTimeout(r.ctx, 10*time.Millisecond)
			r.Cleanup(cancel)
			return ctx
		}, r.noteCode)
	}}).besideClassic(t)
}

// TestConnectionEnds has the client be closed and the server go, during calls and before.
func TestConnectionEnds(t *testing.T) {
	begun := make(chan struct{}, 1)
	for name, end := range map[string]func(*clientRun){
		"close":  func(r *clientRun) { r.close() },
		"server": func(r *clientRun) { r.endServer() },
	} {
		for _, kind := range []string{"unary", "down", "up", "duplex"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				(&clientCase{service: waits(begun), run: func(r *clientRun) {
					go func() {
						<-begun
						end(r)
					}()
					note := r.noteCode
					if name == "close" {
						note = r.noteErr
					}
					oneKind(r, kind, note)
					eachKind(r, func() context.Context { return r.ctx }, note)
				}}).besideClassic(t)
			})
		}
	}
}

func oneKind(r *clientRun, kind string, note func(string, error)) {
	var err error
	var stream grpc.ClientStream
	switch kind {
	case "unary":
		_, err = r.stub.UnaryCall(r.ctx, smallRequest)
	case "down":
		stream, err = r.stub.StreamingOutputCall(r.ctx, askFor(7))
	case "up":
		stream, err = r.stub.StreamingInputCall(r.ctx)
	default:
		stream, err = r.stub.FullDuplexCall(r.ctx)
	}
	if err == nil {
		err = stream.RecvMsg(new(testpb.StreamingOutputCallResponse))
	}
	note(kind, err)
}

// TestNoSuchMethod calls what there is not.
func TestNoSuchMethod(t *testing.T) {
	(&clientCase{run: func(r *clientRun) {
		for _, method := range []string{
			"/grpc.testing.TestService/None", "/none.Service/Method", "/none.Service/", "//Method", "/", "", "Method", "service/Method",
		} {
			err := r.conn.Invoke(r.ctx, method, smallRequest, new(testpb.SimpleResponse))
			r.noteCode("unary "+method, err)
			for _, desc := range []*grpc.StreamDesc{{ClientStreams: true, ServerStreams: true}, {ServerStreams: true}, {ClientStreams: true}, {}} {
				r.noteCode("stream "+method, tryStream(r, desc, method))
			}
		}
	}}).besideClassic(t)
}

// tryStream opens a stream, sends a message, and returns what ends it.
func tryStream(r *clientRun, desc *grpc.StreamDesc, method string) error {
	stream, err := r.conn.NewStream(r.ctx, desc, method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(askFor(7)); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(new(testpb.StreamingOutputCallResponse)); err != nil {
			return err
		}
	}
}

// TestStatus has handlers fail.
func TestStatus(t *testing.T) {
	detailed, err := status.New(codes.Aborted, "because").WithDetails(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fails := range []error{
		detailed.Err(), status.Error(codes.NotFound, ""), status.Error(codes.Code(77), "unknown code"),
		status.Error(codes.DataLoss, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
		status.Error(codes.Canceled, "by the handler"), status.Error(codes.DeadlineExceeded, "by the handler"),
		status.Error(codes.Unavailable, "by the handler"), errors.New("no status"),
		status.Error(codes.Internal, "no UTF-8: \xff."),
	} {
		service := &testService{
			unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, fails },
			down: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
				return fails
			},
			up:     func(testpb.TestService_StreamingInputCallServer) error { return fails },
			duplex: func(testpb.TestService_FullDuplexCallServer) error { return fails },
		}
		(&clientCase{service: service, run: func(r *clientRun) {
			eachKind(r, func() context.Context { return r.ctx }, r.noteErr)
		}}).besideClassic(t)
	}
}

// A brokenCodec fails.
type brokenCodec struct{ encodes bool }

func (c brokenCodec) Marshal(any) ([]byte, error) {
	if c.encodes {
		return []byte{}, nil
	}
	return nil, errors.New("broken encoder")
}
func (brokenCodec) Unmarshal([]byte, any) error { return errors.New("broken decoder") }
func (brokenCodec) Name() string                { return "proto" }

// TestMessages sends and receives what is no message, or too large.
func TestMessages(t *testing.T) {
	const unary = "/grpc.testing.TestService/UnaryCall"
	(&clientCase{run: func(r *clientRun) {
		each := func(opts ...grpc.CallOption) {
			eachKind(r, func() context.Context { return r.ctx }, r.noteErr, opts...)
		}
		each(grpc.ForceCodec(brokenCodec{}))
		each(grpc.ForceCodec(brokenCodec{encodes: true}))
		each(grpc.MaxCallSendMsgSize(3))
		each(grpc.MaxCallSendMsgSize(0))
		each(grpc.MaxCallRecvMsgSize(-1))
		r.noteErr("nil is an empty request", r.conn.Invoke(r.ctx, unary, nil, new(testpb.SimpleResponse)))
		r.noteErr("so is a nil pointer", r.conn.Invoke(r.ctx, unary, (*testpb.SimpleRequest)(nil), new(testpb.SimpleResponse)))
		r.noteCode("no message is sent", r.conn.Invoke(r.ctx, unary, "text", new(testpb.SimpleResponse)))
		r.noteCode("nor received", r.conn.Invoke(r.ctx, unary, smallRequest, new(string)))
		r.noteCode("nil is no answer", r.conn.Invoke(r.ctx, unary, smallRequest, nil))
		r.noteCode("no message on a stream", sendOn(r, "text"))
		r.noteCode("nil is one", sendOn(r, nil))
		large := &testpb.Payload{Body: make([]byte, 5<<20)}
		r.noteCode("a large one", sendOn(r, &testpb.StreamingOutputCallRequest{Payload: large}))
		_, err := r.stub.UnaryCall(r.ctx, &testpb.SimpleRequest{Payload: large})
		r.noteCode("a large request", err)
	}}).besideClassic(t)
}

func sendOn(r *clientRun, m any) error {
	stream, err := r.stub.FullDuplexCall(r.ctx)
	if err == nil {
		err = stream.SendMsg(m)
	}
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

// TestMetadataRefused sends what metadata may not have.
func TestMetadataRefused(t *testing.T) {
	(&clientCase{run: func(r *clientRun) {
		for _, pair := range [][]string{{"", "x"}, {"a b", "x"}, {"a", "\x01"}, {"a", "ä"}, {"Upper", "x"}, {"a-bin", "\x00\xff"}, {"grpc-status", "3"}, {"te", "\x01"}, {":p", "ä"}} {
			ctx := metadata.AppendToOutgoingContext(r.ctx, pair...)
			eachKind(r, func() context.Context { return ctx }, r.noteErr)
		}
	}}).besideClassic(t)
}
