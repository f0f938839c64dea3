// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var errEarly = status.Error(codes.ResourceExhausted, "early")

// TestSendAfterEnd sends on a stream that has ended, and after CloseSend.
func TestSendAfterEnd(t *testing.T) {
	service := echoes()
	service.duplex = func(testpb.TestService_FullDuplexCallServer) error { return errEarly }
	service.up = func(s testpb.TestService_StreamingInputCallServer) error { return errEarly }
	(&clientCase{service: service, run: func(r *clientRun) {
		duplex, err := r.stub.FullDuplexCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		_, err = duplex.Recv()
		r.noteErr("the end", err)
		r.noteErr("Send after it", duplex.Send(askFor(7)))
		r.noteErr("and again", duplex.Send(askFor(7)))
		r.noteErr("CloseSend", duplex.CloseSend())
		_, err = duplex.Recv()
		r.noteErr("Recv after it", err)

		up, err := r.stub.StreamingInputCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		_, err = up.CloseAndRecv()
		r.noteErr("CloseAndRecv", err)
		_, err = up.CloseAndRecv()
		r.noteErr("again", err)
	}}).besideClassic(t)
	// The server does not end it, for what Recv tells would hang on whose end came first.
	(&clientCase{service: waits(nil), run: func(r *clientRun) {
		duplex, err := r.stub.FullDuplexCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		r.noteErr("CloseSend", duplex.CloseSend())
		r.noteErr("CloseSend", duplex.CloseSend())
		r.noteErr("Send", duplex.Send(askFor(7)))
		_, err = duplex.Recv()
		r.noteErr("Recv", err)
	}}).besideClassic(t)
}

// TestSendUntilEnd has a server end a stream on which the client still sends.
func TestSendUntilEnd(t *testing.T) {
	service := echoes()
	service.duplex = func(testpb.TestService_FullDuplexCallServer) error { return errEarly }
	(&clientCase{service: service, run: func(r *clientRun) {
		stream, err := r.stub.FullDuplexCall(r.ctx)
		for err == nil {
			err = stream.Send(askFor(7))
		}
		r.noteErr("Send", err)
		_, err = stream.Recv()
		r.noteErr("Recv", err)
	}}).beside(t)
}

// TestOtherShapes calls methods with descriptions of streams that are not theirs, as proxies do, or
// without a message.
func TestOtherShapes(t *testing.T) {
	const method = "/grpc.testing.TestService/"
	service := echoes()
	service.up = func(testpb.TestService_StreamingInputCallServer) error { return nil }
	(&clientCase{service: service, run: func(r *clientRun) {
		stream, err := r.conn.NewStream(r.ctx, &grpc.StreamDesc{}, method+"UnaryCall")
		if err != nil {
			r.Fatal(err)
		}
		r.noteErr("unary SendMsg", stream.SendMsg(smallRequest))
		answer := new(testpb.SimpleResponse)
		r.noteErr("unary RecvMsg", stream.RecvMsg(answer))
		r.note("%d bytes", len(answer.Payload.GetBody()))
		r.noteErr("unary RecvMsg", stream.RecvMsg(answer))
		r.noteErr("unary CloseSend", stream.CloseSend())
		r.noteErr("unary SendMsg", stream.SendMsg(smallRequest))

		stream, err = r.conn.NewStream(r.ctx, &grpc.StreamDesc{ServerStreams: true}, method+"StreamingOutputCall")
		if err != nil {
			r.Fatal(err)
		}
		r.noteErr("down CloseSend", stream.CloseSend())
		r.noteErr("down RecvMsg", stream.RecvMsg(new(testpb.StreamingOutputCallResponse)))

		up, err := r.stub.StreamingInputCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		_, err = up.CloseAndRecv()
		r.noteErr("up without an answer", err)
	}}).besideClassic(t)
}

// described is a service whose methods send the metadata of the request back in header and trailer, and
// fail if it says so.
func described() *testService {
	md := func(ctx context.Context) (metadata.MD, error) {
		in, _ := metadata.FromIncomingContext(ctx)
		out := metadata.MD{}
		for _, key := range []string{"a", "b-bin"} {
			out.Append(key, in.Get(key)...)
		}
		if len(in.Get("fails")) > 0 {
			return out, errEarly
		}
		return out, nil
	}
	streams := func(s grpc.ServerStream) error {
		out, err := md(s.Context())
		s.SetTrailer(metadata.Join(out, metadata.Pairs("where", "trailer")))
		return errors.Join(s.SendHeader(metadata.Join(out, metadata.Pairs("where", "header"))), err)
	}
	return &testService{
		unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			out, err := md(ctx)
			grpc.SetTrailer(ctx, metadata.Join(out, metadata.Pairs("where", "trailer")))
			return &testpb.SimpleResponse{}, errors.Join(grpc.SetHeader(ctx, metadata.Join(out, metadata.Pairs("where", "header"))), err)
		},
		down: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
			return errors.Join(streams(s), s.Send(outputOf(7)))
		},
		up: func(s testpb.TestService_StreamingInputCallServer) error {
			err := streams(s)
			for last := error(nil); last != io.EOF; {
				if _, last = s.Recv(); last != nil && last != io.EOF {
					return last
				}
			}
			if err != nil {
				return err
			}
			return s.SendAndClose(&testpb.StreamingInputCallResponse{})
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			err := streams(s)
			if _, last := s.Recv(); last != io.EOF {
				return last
			}
			return err
		},
	}
}

// TestHeaderTrailer asks for the header and trailer of answers of all kinds, by options and by streams.
func TestHeaderTrailer(t *testing.T) {
	(&clientCase{service: described(), run: func(r *clientRun) {
		for _, pairs := range [][]string{{"a", "1", "a", "2", "b-bin", "\x00\xff"}, {"a", "1", "fails", "1"}} {
			ctx := metadata.AppendToOutgoingContext(r.ctx, pairs...)
			var header, trailer metadata.MD
			eachKind(r, func() context.Context { return ctx }, func(what string, err error) {
				if what != "duplex" {
					r.noteErr(what, err)
					r.note("header %s, trailer %s", ofUsers(header), ofUsers(trailer))
				}
			}, grpc.Header(&header), grpc.Trailer(&trailer))
			noteHeaders(r, ctx)
		}
	}}).beside(t)
}

// noteHeaders asks a stream whose server still waits.
func noteHeaders(r *clientRun, ctx context.Context) {
	stream, err := r.stub.FullDuplexCall(ctx)
	if err != nil {
		r.Fatal(err)
	}
	header, err := stream.Header()
	r.noteErr("Header", err)
	r.note("header %s", ofUsers(header))
	r.noteErr("CloseSend", stream.CloseSend())
	r.noteErr("Recv", stream.RecvMsg(new(testpb.StreamingOutputCallResponse)))
	r.note("trailer %s", ofUsers(stream.Trailer()))
	header, err = stream.Header()
	r.noteErr("Header", err)
	r.note("header %s", ofUsers(header))
}

// TestHeaderReturns holds when Header returns: at the first message, and at the end.
func TestHeaderReturns(t *testing.T) {
	(&clientCase{run: func(r *clientRun) {
		stream, err := r.stub.FullDuplexCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		r.noteErr("Send", stream.Send(askFor(7)))
		header, err := stream.Header()
		r.noteErr("Header", err)
		r.note("header %s, nil: %v", ofUsers(header), header == nil)
		_, err = stream.Recv()
		r.noteErr("Recv", err)
	}}).beside(t)
	failing := echoes()
	failing.duplex = func(testpb.TestService_FullDuplexCallServer) error { return errEarly }
	(&clientCase{service: failing, run: func(r *clientRun) {
		stream, err := r.stub.FullDuplexCall(r.ctx)
		if err != nil {
			r.Fatal(err)
		}
		header, err := stream.Header()
		r.noteErr("Header", err)
		r.note("header %s", ofUsers(header))
		_, err = stream.Recv()
		r.noteErr("Recv", err)
	}}).beside(t)
	(&clientCase{service: waits(nil), run: func(r *clientRun) {
		ctx, cancel := context.WithCancel(r.ctx)
		stream, err := r.stub.FullDuplexCall(ctx)
		if err != nil {
			r.Fatal(err)
		}
		go cancel()
		header, err := stream.Header()
		r.noteErr("Header", err)
		r.note("header %s", ofUsers(header))
		_, err = stream.Recv()
		r.noteErr("Recv", err)
	}}).beside(t)
}

// TestSendUntilGone sends until the context has ended, or the client was closed.
func TestSendUntilGone(t *testing.T) {
	for _, end := range []func(r *clientRun, cancel func()){
		func(_ *clientRun, cancel func()) { cancel() }, func(r *clientRun, _ func()) { r.close() },
	} {
		begun := make(chan struct{}, 1)
		(&clientCase{service: waits(begun), run: func(r *clientRun) {
			ctx, cancel := context.WithCancel(r.ctx)
			defer cancel()
			stream, err := r.stub.FullDuplexCall(ctx)
			if err != nil {
				r.Fatal(err)
			}
			go func() {
				<-begun
				end(r, cancel)
			}()
			for err == nil {
				err = stream.Send(askFor(7))
			}
			r.noteErr("Send", err)
			_, err = stream.Recv()
			r.noteErr("Recv", err)
		}}).beside(t)
	}
}

// TestFailureEndsHandler holds that a stream that fails at the client ends at the server.
func TestFailureEndsHandler(t *testing.T) {
	ends := make(chan error, 1)
	service := echoes()
	service.duplex = func(s testpb.TestService_FullDuplexCallServer) error {
		err := s.Send(outputOf(7))
		<-s.Context().Done()
		ends <- s.Context().Err()
		return err
	}
	(&clientCase{service: service, run: func(r *clientRun) {
		for _, opt := range []grpc.CallOption{grpc.MaxCallSendMsgSize(1), grpc.MaxCallRecvMsgSize(1)} {
			stream, err := r.stub.FullDuplexCall(r.ctx, opt)
			if err != nil {
				r.Fatal(err)
			}
			_, err = stream.Recv()
			if err == nil {
				err = stream.Send(askFor(7))
			}
			r.noteErr("failed", err)
			r.note("the handler's context: %v", <-ends)
			_, err = stream.Recv()
			r.noteCode("Recv", err) // grpc-go takes the rest of the message for a next one
		}
	}}).beside(t)
}
