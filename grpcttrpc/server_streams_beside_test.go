// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// TestInterceptors holds the order of interceptors, what they are told and what they may change.
func TestInterceptors(t *testing.T) {
	r := new(report)
	impl := echoes()
	unary := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			r.say("%s: %T %s %v %T", name, req, info.FullMethod, info.Server == impl, ctx.Value(nameKey{}))
			resp, err := handler(context.WithValue(ctx, nameKey{}, name), req)
			r.say("%s: %T %v", name, resp, err)
			if string(req.(*testpb.SimpleRequest).Payload.GetBody()) == name {
				return &testpb.SimpleResponse{Username: name}, nil
			}
			return resp, err
		}
	}
	stream := func(name string) grpc.StreamServerInterceptor {
		return func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			r.say("%s: %s %v %v %v", name, info.FullMethod, srv == any(impl), info.IsClientStream, info.IsServerStream)
			err := handler(srv, &loudStream{s, r, name})
			r.say("%s: %v", name, err)
			return err
		}
	}
	s := side{
		register: serve(impl),
		unary:    []grpc.UnaryServerInterceptor{unary("a"), unary("b"), unary("c")},
		stream:   []grpc.StreamServerInterceptor{stream("a"), stream("b"), stream("c")},
	}
	besideGRPC(t, "B124", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := testpb.NewTestServiceClient(cc)
		for _, body := range []string{"b", "x"} {
			resp, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte(body)}})
			r.got("%q %q %v", resp.GetUsername(), resp.GetPayload().GetBody(), err)
		}
		r.got("%v", errorsOfAll(ctx, client))
	})
}

type nameKey struct{}

// A loudStream tells what goes through it.
type loudStream struct {
	grpc.ServerStream
	r    *report
	name string
}

func (s *loudStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	s.r.say("%s: sent %T %v", s.name, m, err)
	return err
}

func (s *loudStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	s.r.say("%s: received %T %v", s.name, m, err)
	return err
}

// A teller is a stats handler that tells what it is told.
type teller struct {
	r    *report
	name string
	done chan struct{} // gets one of each call
}

func (h *teller) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.r.say("%s: tag %s", h.name, info.FullMethodName)
	return context.WithValue(ctx, nameKey{}, info.FullMethodName)
}

func (h *teller) HandleRPC(ctx context.Context, s stats.RPCStats) {
	what := ""
	switch s := s.(type) {
	case *stats.InHeader:
		what = fmt.Sprint(s.FullMethod, s.RemoteAddr != nil, s.LocalAddr != nil, s.Compression, ofUsers(s.Header))
	case *stats.Begin:
		what = fmt.Sprint(s.BeginTime.IsZero(), s.FailFast, s.IsClientStream, s.IsServerStream)
	case *stats.InPayload:
		what = fmt.Sprintf("%T %d %d %v %v", s.Payload, s.Length, s.CompressedLength, s.WireLength > s.Length, s.RecvTime.IsZero())
	case *stats.OutHeader:
		what = fmt.Sprint(s.FullMethod, s.Compression, ofUsers(s.Header))
	case *stats.OutPayload:
		what = fmt.Sprintf("%T %d %d %v %v", s.Payload, s.Length, s.CompressedLength, s.WireLength > s.Length, s.SentTime.IsZero())
	case *stats.OutTrailer:
		what = ofUsers(s.Trailer)
	case *stats.End:
		what = fmt.Sprint(s.BeginTime.IsZero(), s.EndTime.Before(s.BeginTime), ofUsers(s.Trailer), s.Error)
		if h.done != nil {
			defer func() { h.done <- struct{}{} }()
		}
	}
	h.r.say("%s: %T %v %s %v", h.name, s, ctx.Value(nameKey{}), what, s.IsClient())
}

func (h *teller) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (h *teller) HandleConn(context.Context, stats.ConnStats) {}

// TestServerStats holds what stats handlers are told, and in which order.
func TestServerStats(t *testing.T) {
	for name, c := range map[string]struct {
		impl   *testService
		before func(ctx context.Context) // in the handler
	}{
		"success": {impl: echoes()},
		"errors": {impl: &testService{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				grpc.SetTrailer(ctx, pairs("t", "1"))
				return nil, status.Error(codes.Aborted, "no")
			},
			down: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
				s.SetHeader(pairs("h", "1"))
				return io.ErrUnexpectedEOF
			},
			up: func(s testpb.TestService_StreamingInputCallServer) error {
				s.SendHeader(pairs("h", "1"))
				return context.Canceled
			},
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				s.SetHeader(pairs("h", "1"))
				s.SetTrailer(pairs("t", "1"))
				s.Send(outputOf(100))
				return status.Error(codes.Aborted, "no")
			},
		}},
		"messages that are none": {impl: &testService{
			unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				return &testpb.SimpleResponse{Username: "\xff"}, nil
			},
			down: func(_ *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
				return s.Send(nil)
			},
			up: func(s testpb.TestService_StreamingInputCallServer) error {
				return s.SendMsg(&testpb.SimpleResponse{Username: "\xff"})
			},
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				return s.SendMsg(&testpb.SimpleResponse{Username: "\xff"})
			},
		}},
		"metadata": {impl: &testService{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				grpc.SetHeader(ctx, pairs("h", "1"))
				grpc.SetHeader(ctx, pairs("h", "2"))
				grpc.SendHeader(ctx, pairs("h", "3"))
				grpc.SetHeader(ctx, pairs("h", "4"))
				grpc.SetTrailer(ctx, pairs("t", "1"))
				return new(testpb.SimpleResponse), nil
			},
			down: func(req *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
				s.SetTrailer(pairs("t", "1"))
				return nil
			},
			up: func(s testpb.TestService_StreamingInputCallServer) error {
				s.SetHeader(pairs("h", "1"))
				return s.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: 7})
			},
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				s.Recv()
				return nil
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, done := new(report), make(chan struct{}, 1)
			s := side{register: serve(c.impl), stats: []stats.Handler{&teller{r, "a", nil}, &teller{r, "b", done}}}
			besideGRPC(t, "B124", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
				client := testpb.NewTestServiceClient(cc)
				client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 10)}})
				<-done
				down, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 3}, {Size: 1}}})
				for err == nil {
					_, err = down.Recv()
				}
				<-done
				up, err := client.StreamingInputCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				up.CloseAndRecv()
				<-done
				duplex, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				duplex.CloseSend()
				for err == nil {
					_, err = duplex.Recv()
				}
				<-done
			})
		})
	}
}

// TestHandlersEnds holds what handlers are told when their streams end before them, and that
// the first error of a stream stands, whatever the handler returns.
func TestHandlersEnds(t *testing.T) {
	r := new(report)
	began, over := make(chan struct{}, 1), make(chan struct{}, 1)
	service := &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			began <- struct{}{}
			<-ctx.Done()
			r.say("unary: %v", ctx.Err())
			over <- struct{}{}
			return nil, ctx.Err()
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			began <- struct{}{}
			_, err := s.Recv()
			r.say("received: %v", err)
			<-s.Context().Done()
			r.say("stream: %v", s.Context().Err())
			_, err = s.Recv()
			r.say("received: %v", err)
			over <- struct{}{}
			return nil
		},
	}
	besideGRPC(t, "B121", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := testpb.NewTestServiceClient(cc)
		calls := map[string]func(context.Context) error{
			"unary": func(ctx context.Context) error {
				_, err := client.UnaryCall(ctx, new(testpb.SimpleRequest))
				return err
			},
			"duplex": func(ctx context.Context) error {
				s, err := client.FullDuplexCall(ctx)
				if err == nil {
					_, err = s.Recv()
				}
				return err
			},
		}
		for _, kind := range []string{"unary", "duplex"} {
			ctx, cancel := context.WithCancel(ctx)
			go func() {
				<-began
				cancel()
			}()
			err := calls[kind](ctx)
			<-over
			r.got("%s: %s", kind, codeOf(err))
		}
	})
}

// TestBadMessages holds what becomes of messages that cannot be decoded or encoded, are too
// large, or are none.
func TestBadMessages(t *testing.T) {
	r := new(report)
	invalid := &testpb.SimpleResponse{Username: "\xff"}
	large := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, 100_000)}}
	answers := map[string]func() (*testpb.SimpleResponse, error){
		"nil":     func() (*testpb.SimpleResponse, error) { return nil, nil },
		"invalid": func() (*testpb.SimpleResponse, error) { return invalid, nil },
		"large":   func() (*testpb.SimpleResponse, error) { return &testpb.SimpleResponse{Payload: large.Payload}, nil },
	}
	over := make(chan struct{}, 1) // gets one of each stream's handler
	service := &testService{
		unary: func(_ context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return answers[string(req.Payload.GetBody())]()
		},
		up: func(s testpb.TestService_StreamingInputCallServer) error {
			defer func() { over <- struct{}{} }()
			req, err := s.Recv()
			if err != nil {
				r.say("received: %s", codeOf(err))
				return nil // though it was no message
			}
			resp, err := answers[string(req.Payload.GetBody())]()
			if err != nil {
				return err
			}
			err = s.SendMsg(resp)
			if req.Payload.Body[0] != 'l' { // here it leaves when the handler has returned
				r.say("sent: %s", codeOf(err))
			}
			return nil // though it was not sent
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			defer func() { over <- struct{}{} }()
			req, err := s.Recv()
			if err != nil {
				r.say("received: %s", codeOf(err))
				return nil
			}
			resp, err := answers[string(req.Payload.GetBody())]()
			if err != nil {
				return err
			}
			r.say("sent: %s", codeOf(s.SendMsg(resp)))
			return nil // though it was not sent
		},
	}
	besideGRPC(t, "B123", side{register: serve(service), maxSend: 50_000}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := testpb.NewTestServiceClient(cc)
		for _, what := range []string{"nil", "invalid", "large"} {
			payload := &testpb.Payload{Body: []byte(what)}
			resp, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload})
			r.got("unary %s: %v %s", what, resp, codeOf(err))
			duplex, err := client.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			duplex.Send(&testpb.StreamingOutputCallRequest{Payload: payload})
			duplex.CloseSend()
			out, err := duplex.Recv()
			_, end := duplex.Recv()
			<-over
			r.got("duplex %s: %v %s %s", what, out, codeOf(err), codeOf(end))
			up, err := client.StreamingInputCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			up.Send(&testpb.StreamingInputCallRequest{Payload: payload})
			sum, err := up.CloseAndRecv()
			<-over
			r.got("up %s: %v %s", what, sum != nil, codeOf(err))
		}
		bad := grpc.ForceCodecV2(badCodec{})
		_, err := client.UnaryCall(ctx, new(testpb.SimpleRequest), bad)
		r.got("undecodable: %s", codeOf(err))
		duplex, err := client.FullDuplexCall(ctx, bad)
		if err != nil {
			t.Fatal(err)
		}
		duplex.Send(new(testpb.StreamingOutputCallRequest))
		_, err = duplex.Recv()
		<-over
		r.got("undecodable: %s", codeOf(err))
		up, err := client.StreamingInputCall(ctx, bad)
		if err != nil {
			t.Fatal(err)
		}
		up.Send(new(testpb.StreamingInputCallRequest))
		_, err = up.CloseAndRecv()
		<-over
		r.got("undecodable: %s", codeOf(err))
	})
}

// TestNoMessage holds what becomes of a message that is nil.
func TestNoMessage(t *testing.T) {
	r := new(report)
	desc := &grpc.ServiceDesc{
		ServiceName: "no.No", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "M", Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
			return nil, nil
		}}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Up", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
				r.say("sent: %s", codeOf(s.SendMsg(nil)))
				return nil
			}},
			{StreamName: "Both", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
				r.say("sent: %s", codeOf(s.SendMsg(nil)))
				return nil
			}},
		},
	}
	s := side{register: func(reg grpc.ServiceRegistrar) { reg.RegisterService(desc, nil) }}
	besideGRPC(t, "B123", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		r.got("unary: %s", codeOf(cc.Invoke(ctx, "/no.No/M", new(testpb.Empty), new(testpb.Empty))))
		for _, d := range desc.Streams {
			s, err := cc.NewStream(ctx, &d, "/no.No/"+d.StreamName)
			if err != nil {
				t.Fatal(err)
			}
			r.got("%s: %s", d.StreamName, codeOf(s.RecvMsg(new(testpb.Empty))))
		}
	})
}

// A badCodec makes of every message what is none.
type badCodec struct{}

func (badCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer([]byte("\xff\xff\xff"))}, nil
}

func (badCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func (badCodec) Name() string { return "proto" }

// TestCardinality holds what streams of gRPC's are that are not used as they are described.
func TestCardinality(t *testing.T) {
	r := new(report)
	service := &testService{
		down: func(req *testpb.StreamingOutputCallRequest, s testpb.TestService_StreamingOutputCallServer) error {
			r.say("again: %v", s.RecvMsg(new(testpb.StreamingOutputCallRequest)))
			return nil
		},
		up: func(s testpb.TestService_StreamingInputCallServer) error {
			req, err := s.Recv()
			if err != nil {
				return err
			}
			for range len(req.Payload.GetBody()) {
				s.SendMsg(new(testpb.StreamingInputCallResponse))
			}
			return nil
		},
	}
	besideGRPC(t, "B120", side{register: serve(service)}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		client := testpb.NewTestServiceClient(cc)
		down, err := client.StreamingOutputCall(ctx, new(testpb.StreamingOutputCallRequest))
		if err != nil {
			t.Fatal(err)
		}
		_, err = down.Recv()
		r.got("%v", err)
		for answers := range 4 {
			up, err := client.StreamingInputCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			up.Send(inputOf(answers))
			resp, err := up.CloseAndRecv()
			r.got("%d answers: %v %v", answers, resp != nil, err)
		}
	})
}

// TestStreamOfOneAndOne holds what a stream is that neither side streams on.
func TestStreamOfOneAndOne(t *testing.T) {
	r := new(report)
	desc := &grpc.ServiceDesc{ServiceName: "one.One", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "One", Handler: func(_ any, s grpc.ServerStream) error {
			req := new(testpb.SimpleRequest)
			r.say("received: %v", s.RecvMsg(req))
			return s.SendMsg(&testpb.SimpleResponse{Payload: req.Payload})
		},
	}}}
	loud := func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		r.say("intercepted")
		return handler(srv, s)
	}
	s := side{register: func(reg grpc.ServiceRegistrar) { reg.RegisterService(desc, 1) }, stream: []grpc.StreamServerInterceptor{loud}}
	besideGRPC(t, "B120", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		resp := new(testpb.SimpleResponse)
		err := cc.Invoke(ctx, "/one.One/One", &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("1")}}, resp)
		r.got("%s %v", resp.Payload.GetBody(), err)
	})
}

// TestFirstErrorStands holds which of several errors of a stream its client gets: the first.
func TestFirstErrorStands(t *testing.T) {
	r := new(report)
	service := &testService{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
		_, err := s.Recv()
		r.say("received: %s", codeOf(err))
		r.say("sent: %s", codeOf(s.SendMsg(&testpb.SimpleResponse{Payload: &testpb.Payload{Body: make([]byte, 100_000)}})))
		return status.Error(codes.Aborted, "and at last")
	}}
	besideGRPC(t, "B123", side{register: serve(service), maxSend: 50_000}, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		s, err := testpb.NewTestServiceClient(cc).FullDuplexCall(ctx, grpc.ForceCodecV2(badCodec{}))
		if err != nil {
			t.Fatal(err)
		}
		s.Send(new(testpb.StreamingOutputCallRequest))
		_, err = s.Recv()
		r.got("%s", codeOf(err))
	})
}

// A spoiler is a stats handler that changes the headers that it is told of.
type spoiler struct{ silent }

func (spoiler) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.InHeader:
		clear(s.Header)
	case *stats.OutHeader:
		clear(s.Header)
	}
}

// TestSpoiledStats holds that what a stats handler does with what it is told is its own.
func TestSpoiledStats(t *testing.T) {
	r := new(report)
	service := &testService{duplex: func(s testpb.TestService_FullDuplexCallServer) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		r.say("incoming %s", ofUsers(md))
		s.SetHeader(pairs("h", "1"))
		s.SendHeader(pairs("h", "2"))
		return nil
	}}
	s := side{register: serve(service), stats: []stats.Handler{spoiler{}}}
	besideGRPC(t, "B124", s, r, func(ctx context.Context, cc grpc.ClientConnInterface) {
		s, err := testpb.NewTestServiceClient(cc).FullDuplexCall(metadata.AppendToOutgoingContext(ctx, "b-bin", "\x00", "x", "1"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		header, _ := s.Header()
		r.got("%v %s", err, ofUsers(header))
	})
}
