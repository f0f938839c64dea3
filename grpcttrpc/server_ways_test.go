// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// TestClassicHandlers holds what handlers can do on a classic connection: all but metadata of
// answers, and that says so.
func TestClassicHandlers(t *testing.T) {
	server := newServer(t)
	var told []error
	pair := metadata.Pairs("k", "v")
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			told = []error{grpc.SetHeader(ctx, pair), grpc.SendHeader(ctx, pair), grpc.SetTrailer(ctx, pair), grpc.SendHeader(ctx, nil)}
			md, _ := metadata.FromIncomingContext(ctx)
			if stream := grpc.ServerTransportStreamFromContext(ctx); stream.SetHeader(nil) != nil || stream.SetTrailer(nil) != nil {
				md.Set("nothing", "is refused")
			}
			return &testpb.SimpleResponse{Username: ofUsers(md)}, nil
		},
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			told = []error{s.SetHeader(pair), s.SendHeader(pair)}
			s.SetTrailer(pair)
			s.Send(outputOf(3))
			return status.Error(codes.Aborted, "after all")
		},
	})
	client := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server)))
	ctx := metadata.AppendToOutgoingContext(withDeadline(t), "x-bin", "\x00\xff")
	resp, err := client.UnaryCall(ctx, new(testpb.SimpleRequest))
	if err != nil || resp.Username != `x-bin=["\x00\xff"]` {
		t.Errorf("B122: the answer is %v, %v", resp, err)
	}
	wantUnimplemented(t, told)
	duplex, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := duplex.Recv()
	if err != nil || len(out.Payload.Body) != 3 {
		t.Errorf("B122: the message is %v, %v", out, err)
	}
	if _, err = duplex.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("B122: the stream ends with %v", err)
	}
	wantUnimplemented(t, told)
}

// wantUnimplemented holds that all errors say that answers carry no metadata.
func wantUnimplemented(t *testing.T, told []error) {
	t.Helper()
	for i, err := range told {
		if status.Code(err) != codes.Unimplemented || !errors.Is(err, ttrpc.ErrNoResponseMetadata) {
			t.Errorf("B122: error %d of setting metadata is %v", i, err)
		}
	}
}

// TestMalformedMetadata holds that malformed base64 is refused before the handler runs, and
// that keys are lower-case to it.
func TestMalformedMetadata(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	ran := false
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server, grpcttrpc.WithServerStatsHandler(new(silent))), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			ran = true
			md, _ := metadata.FromIncomingContext(ctx)
			return &testpb.SimpleResponse{Username: ofUsers(md)}, nil
		},
		duplex: func(testpb.TestService_FullDuplexCallServer) error {
			ran = true
			return nil
		},
	})
	client := connect(t, server, ttrpc.WithExtensions())
	call := func(md ttrpc.MD) (string, error) {
		resp := new(testpb.SimpleResponse)
		err := client.Call(ttrpc.WithMetadata(withDeadline(t), md), testServiceName, "UnaryCall", new(testpb.SimpleRequest), resp)
		return resp.Username, err
	}
	const want = `rpc error: code = Internal desc = malformed binary metadata "!" in header "k-bin"`
	for _, key := range []string{"k-bin", "K-Bin"} {
		if _, err := call(ttrpc.MD{key: {"!"}}); err == nil || !strings.HasPrefix(err.Error(), want) || ran {
			t.Errorf("B121: a malformed value of %s is %v, and the handler ran: %v", key, err, ran)
		}
	}
	stream, err := client.NewStream(ttrpc.WithMetadata(withDeadline(t), ttrpc.MD{"k-bin": {"!"}}),
		&ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, testServiceName, "FullDuplexCall", nil)
	if err == nil {
		err = stream.RecvMsg(new(testpb.StreamingOutputCallResponse))
	}
	if status.Code(err) != codes.Internal || ran {
		t.Errorf("B121: a malformed value is %v to a stream, and the handler ran: %v", err, ran)
	}
	got, err := call(ttrpc.MD{"Up": {"1"}, "-bin": {"AA"}, "K-Bin": {"AP8", "AA=="}})
	if want := `-bin=["\x00"] k-bin=["\x00\xff" "\x00"] up=["1"]`; err != nil || got != want {
		t.Errorf("B121: the metadata is %s, %v, not %s", got, err, want)
	}
}

// silent is a stats handler that does nothing.
type silent struct{}

func (silent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (silent) HandleRPC(context.Context, stats.RPCStats) {}

func (silent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (silent) HandleConn(context.Context, stats.ConnStats) {}

// TestNotCarried holds that what there is not is refused where a handler asks for it.
func TestNotCarried(t *testing.T) {
	told := make(chan []error, 2)
	ask := func(ctx context.Context, stream grpc.ServerStream) []error {
		_, compressors := grpc.ClientSupportedCompressors(ctx)
		return []error{
			grpc.SetSendCompressor(ctx, "gzip"),
			compressors,
			new(grpc.PreparedMsg).Encode(stream, new(testpb.Empty)),
			grpc.SetHeader(ctx, metadata.Pairs("k", strings.Repeat("v", 70_000))),
		}
	}
	server := newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			told <- ask(s.Context(), s)
			return s.Send(outputOf(1))
		},
	})
	s, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions()))).FullDuplexCall(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Errorf("B122: the stream ended with %v", err)
	}
	for i, err := range <-told {
		if err == nil {
			t.Errorf("B122: request %d succeeded", i)
		} else if _, is := status.FromError(err); i >= 3 && (!is || status.Code(err) != codes.Internal) {
			t.Errorf("B122: request %d is refused with %v", i, err)
		}
	}
}

// TestClientGone holds that handlers notice when their client is gone.
func TestClientGone(t *testing.T) {
	onBothModes(t, func(t *testing.T, serverOpts []ttrpc.ServerOpt, clientOpts []ttrpc.ClientOpts) {
		began, told := make(chan struct{}), make(chan []error, 1)
		server := newServer(t, serverOpts...)
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				close(began)
				_, err := s.Recv()
				<-s.Context().Done()
				told <- []error{err, status.FromContextError(s.Context().Err()).Err()}
				return err
			},
		})
		client := connect(t, server, clientOpts...)
		if _, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client)).FullDuplexCall(withDeadline(t)); err != nil {
			t.Fatal(err)
		}
		<-began
		client.Close()
		for i, err := range <-told {
			if status.Code(err) != codes.Canceled {
				t.Errorf("B121: what %d the handler is told is %v", i, err)
			}
		}
	})
}

// TestUnknownServices holds that ttrpc's handler of unknown services has what no gRPC service
// takes.
func TestUnknownServices(t *testing.T) {
	unknown := func(_ context.Context, call *ttrpc.UnknownCall, stream ttrpc.StreamServer) (any, error) {
		m := new(ttrpc.RawMessage)
		if err := stream.RecvMsg(m); err != nil || call.Unary {
			return m, err
		}
		return nil, stream.SendMsg(m)
	}
	server := newServer(t, ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(unknown))
	healthOnly := grpcttrpc.NewRegistrar(server)
	healthpb.RegisterHealthServer(healthOnly, health.NewServer())
	cc := grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions()))
	client := testpb.NewTestServiceClient(cc)
	ctx := withDeadline(t)
	resp, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 1, Payload: &testpb.Payload{Body: []byte("x")}})
	if err != nil || resp.Payload == nil && len(resp.ProtoReflect().GetUnknown()) == 0 {
		t.Errorf("B120: the answer is %v, %v", resp, err)
	}
	s, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Send(askFor(3))
	if _, err = s.Recv(); err != nil {
		t.Errorf("B120: the message is refused: %v", err)
	}
	if _, err = s.Recv(); err != io.EOF {
		t.Errorf("B120: the stream ends with %v", err)
	}
	if state, err := healthpb.NewHealthClient(cc).Check(ctx, new(healthpb.HealthCheckRequest)); err != nil || state.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("B120: what there is is not reached: %v, %v", state, err)
	}
}

// TestHandlerPanics holds that a panic is Internal with ttrpc.WithRecoverPanics.
func TestHandlerPanics(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions(), ttrpc.WithRecoverPanics(), ttrpc.WithServerLogger(slog.New(slog.DiscardHandler)))
	ended := make(chan struct{}, 4)
	h := &teller{new(report), "a", ended}
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server, grpcttrpc.WithServerStatsHandler(h)), &testService{
		unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { panic("unary") },
		down: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
			panic("down")
		},
		up:     func(testpb.TestService_StreamingInputCallServer) error { panic("up") },
		duplex: func(testpb.TestService_FullDuplexCallServer) error { panic("duplex") },
	})
	client := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	for i, err := range errorsOfAll(withDeadline(t), client) {
		want := "ttrpc: panic in the handler: " + []string{"unary", "down", "up", "duplex"}[i]
		if st := status.Convert(err); st.Code() != codes.Internal || st.Message() != want {
			t.Errorf("B123: a panic is %v, not Internal with %q", err, want)
		}
		<-ended // stats handlers are told, too
	}
	if told := h.r.take(); strings.Count(told, "grpcttrpc: the handler has not returned") != 4 {
		t.Errorf("B123: stats handlers are told\n%s", told)
	}
}

// TestBothWays holds that a client serves gRPC's services, and that handlers at either end call
// the other, by gRPC's stubs and without metadata of the call that they serve.
func TestBothWays(t *testing.T) {
	nested := func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if req.ResponseSize == 0 {
			return &testpb.SimpleResponse{Username: ofUsers(md)}, nil
		}
		back, err := ttrpc.PeerClient(ctx)
		if err != nil {
			return nil, err
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "left", fmt.Sprint(req.ResponseSize))
		resp, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(back)).UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: req.ResponseSize - 1})
		return &testpb.SimpleResponse{Username: ofUsers(md) + "; " + resp.GetUsername()}, err
	}
	server, own := newServer(t, ttrpc.WithServerExtensions()), newServer(t, ttrpc.WithServerExtensions())
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{unary: nested})
	impl := echoes()
	impl.unary = nested
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(own), impl)
	streamed := make(chan error, 1)
	server.Register("test.Ask", map[string]ttrpc.Method{"Ask": func(ctx context.Context, unmarshal func(any) error) (any, error) {
		back, err := ttrpc.PeerClient(ctx)
		if err != nil {
			return nil, err
		}
		s, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(back)).FullDuplexCall(ctx)
		if err != nil {
			return nil, err
		}
		err = errors.Join(s.Send(askFor(5)), s.CloseSend())
		out, failed := s.Recv()
		_, end := s.Recv()
		if err != nil || failed != nil || len(out.Payload.Body) != 5 || end != io.EOF {
			streamed <- fmt.Errorf("%v, %v, %v, %v", err, failed, out, end)
		}
		close(streamed)
		return new(testpb.Empty), nil
	}})
	client := connect(t, server, ttrpc.WithExtensions(), ttrpc.WithClientServices(own))
	ctx := metadata.AppendToOutgoingContext(withDeadline(t), "first", "1")
	resp, err := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(client)).UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 3})
	if want := `first=["1"]; left=["3"]; left=["2"]; left=["1"]`; err != nil || resp.Username != want {
		t.Errorf("B127: the metadata along the way is %v, %v, not %s", resp, err, want)
	}
	if err := client.Call(ctx, "test.Ask", "Ask", new(testpb.Empty), new(testpb.Empty)); err != nil {
		t.Fatal(err)
	}
	if err := <-streamed; err != nil {
		t.Errorf("B127: a stream to the client: %v", err)
	}
}

// TestContextOfServe holds that handlers do not have what the context of Serve has of gRPC.
func TestContextOfServe(t *testing.T) {
	server := newServer(t)
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			in, _ := metadata.FromIncomingContext(ctx)
			out, hasOut := metadata.FromOutgoingContext(ctx)
			own, _ := ctx.Value(nameKey{}).(string)
			return &testpb.SimpleResponse{Username: fmt.Sprintf("%v %v %v %s %v", in, out, hasOut, own, ctx)}, nil
		},
	})
	base := metadata.NewIncomingContext(metadata.AppendToOutgoingContext(context.Background(), "a", "1"), metadata.Pairs("b", "2"))
	base = context.WithValue(base, nameKey{}, "mine")
	client := serveWith(t, base, server)
	resp := new(testpb.SimpleResponse)
	err := client.Call(withDeadline(t), testServiceName, "UnaryCall", new(testpb.SimpleRequest), resp)
	if want := "map[] map[] false mine gRPC call over ttrpc"; err != nil || resp.Username != want {
		t.Errorf("B121: the handler sees %q, %v, not %q", resp.Username, err, want)
	}
}

// TestDeadlines holds that a deadline ends handlers, and is DeadlineExceeded to both.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 3)
		server := newServer(t, ttrpc.WithServerExtensions())
		testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server), &testService{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			},
			duplex: func(s testpb.TestService_FullDuplexCallServer) error {
				_, err := s.Recv()
				ended <- err
				<-s.Context().Done()
				ended <- s.Context().Err()
				return err
			},
		})
		near, far := memconn.Pipe(0)
		go server.ServeConn(t.Context(), far)
		native := ttrpc.NewClient(near, ttrpc.WithExtensions())
		defer native.Close()
		client := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(native))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, unary := client.UnaryCall(ctx, new(testpb.SimpleRequest))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, stream := client.FullDuplexCall(ctx)
		if stream == nil {
			_, stream = s.Recv()
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("B121: two seconds last %v", took)
		}
		for i, err := range []error{unary, stream, status.FromContextError(<-ended).Err(), <-ended, status.FromContextError(<-ended).Err()} {
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("B121: what %d is told is %v", i, err)
			}
		}
	})
}

// TestConcurrentHandlers has the race detector look at what handlers share with each other, and
// a stream's two sides.
func TestConcurrentHandlers(t *testing.T) {
	server := newServer(t, ttrpc.WithServerExtensions())
	look := func(ctx context.Context) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				metadata.FromIncomingContext(ctx)
				grpc.Method(ctx)
				grpc.SetTrailer(ctx, metadata.Pairs("t", "1"))
			})
		}
		all.Wait()
	}
	h := &teller{r: new(report), name: "a"}
	loud := grpcttrpc.WithChainStreamServerInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, s)
	})
	testpb.RegisterTestServiceServer(grpcttrpc.NewRegistrar(server, loud, grpcttrpc.WithServerStatsHandler(h)), &testService{
		duplex: func(s testpb.TestService_FullDuplexCallServer) error {
			look(s.Context())
			var all sync.WaitGroup
			all.Go(func() {
				for range 20 {
					s.Send(outputOf(10))
				}
			})
			var err error
			for err == nil {
				_, err = s.Recv()
			}
			all.Wait()
			return nil
		},
	})
	client := testpb.NewTestServiceClient(grpcttrpc.NewClientConn(connect(t, server, ttrpc.WithExtensions())))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := client.FullDuplexCall(metadata.AppendToOutgoingContext(withDeadline(t), "x-bin", "\x00"))
			if err != nil {
				t.Error(err)
				return
			}
			for range 20 {
				s.Send(askFor(10))
			}
			s.CloseSend()
			n := 0
			for err == nil {
				if _, err = s.Recv(); err == nil {
					n++
				}
			}
			if err != io.EOF || n != 20 || len(s.Trailer()["t"]) != 3 {
				t.Errorf("B121: %d messages, %v, trailer %v", n, err, s.Trailer())
			}
		})
	}
	all.Wait()
}
