// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/proxy"
	"github.com/containerd/ttrpc/integration/streaming"
	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// serve starts a server on a unix socket and returns its address.
func serve(t *testing.T, register func(*ttrpc.Server), opts ...ttrpc.ServerOpt) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func connect(t *testing.T, address string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	t.Helper()
	conn, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn, opts...)
	t.Cleanup(func() { client.Close(); <-client.Done() })
	if is, err := client.Extended(context.Background()); err != nil || is != (len(opts) > 0) {
		t.Fatalf("B46: extended %v, %v", is, err)
	}
	return client
}

// each runs f with a client of a proxy, in each combination of modes before and behind it.
func each(t *testing.T, register func(*ttrpc.Server), f func(t *testing.T, client *ttrpc.Client)) {
	extended := []ttrpc.ClientOpts{ttrpc.WithExtensions()}
	for _, before := range [][]ttrpc.ClientOpts{nil, extended} {
		for _, behind := range [][]ttrpc.ClientOpts{nil, extended} {
			t.Run(fmt.Sprintf("extended before %v behind %v", before != nil, behind != nil), func(t *testing.T) {
				upstream := connect(t, serve(t, register, ttrpc.WithServerExtensions()), behind...)
				address := serve(t, func(*ttrpc.Server) {}, ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(proxy.To(upstream)))
				f(t, connect(t, address, before...))
			})
		}
	}
}

func registerStreaming(s *ttrpc.Server) {
	streaming.RegisterStreamingService(s, streaming.Service{})
}

func TestUnary(t *testing.T) {
	each(t, registerStreaming, func(t *testing.T, client *ttrpc.Client) {
		for _, size := range []int{0, 10, 100 << 10, 3 << 20} {
			answer, err := streaming.NewStreamingClient(client).
				Echo(context.Background(), &streaming.EchoPayload{Seq: 7, Msg: strings.Repeat("x", size)})
			if err != nil || answer.Seq != 8 || len(answer.Msg) != size {
				t.Errorf("B10: %d bytes through the proxy: %d, %d bytes, %v", size, answer.GetSeq(), len(answer.GetMsg()), err)
			}
		}
	})
}

// TestStreams runs each kind of stream, empty messages included, through the proxy.
func TestStreams(t *testing.T) {
	each(t, registerStreaming, func(t *testing.T, client *ttrpc.Client) {
		ctx, svc := context.Background(), streaming.NewStreamingClient(client)

		both, err := svc.EchoStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint32(10) { // each waits for its answer: the proxy holds nothing back
			if err := both.Send(&streaming.EchoPayload{Seq: i}); err != nil {
				t.Fatal(err)
			}
			if m, err := both.Recv(); err != nil || m.Seq != i+1 {
				t.Fatalf("B10: EchoStream: %v, %v", m, err)
			}
		}
		if err := both.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := both.Recv(); err != io.EOF {
			t.Errorf("B10: the end of EchoStream: %v", err)
		}

		sums, err := svc.SumStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int32{0, 40, 2} {
			if err := sums.Send(&streaming.Part{Add: n}); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := sums.CloseAndRecv(); err != nil || sum.Sum != 42 || sum.Num != 3 {
			t.Errorf("B10: SumStream: %v, %v", sum, err)
		}

		nulls, err := svc.EchoNull(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := nulls.CloseAndRecv(); err != nil || answer == nil {
			t.Errorf("B10: an empty answer: %v, %v", answer, err)
		}

		empties, err := svc.EmptyPayloadStream(ctx, new(emptypb.Empty))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []*streaming.EchoPayload{{}, {Seq: 1}, {Seq: 2, Msg: "not empty"}} {
			if m, err := empties.Recv(); err != nil || !proto.Equal(m, want) {
				t.Errorf("B10: EmptyPayloadStream: %v, %v, want %v", m, err, want)
			}
		}
		if _, err := empties.Recv(); err != io.EOF {
			t.Errorf("B10: the end of EmptyPayloadStream: %v", err)
		}
	})
}

// detailed is an error with a detail.
func detailed(t *testing.T) error {
	detail, err := anypb.New(durationpb.New(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return grpcstatus.FromProto(&status.Status{Code: int32(codes.Aborted), Message: "not now", Details: []*anypb.Any{detail}}).Err()
}

func TestErrors(t *testing.T) {
	want := detailed(t)
	register := func(s *ttrpc.Server) {
		s.RegisterService("failing", &ttrpc.ServiceDesc{
			Methods: map[string]ttrpc.Method{"Call": func(context.Context, func(any) error) (any, error) { return nil, want }},
			Streams: map[string]ttrpc.Stream{"Stream": {
				StreamingClient: true, StreamingServer: true,
				Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
					if err := s.SendMsg(wrapperspb.String("first")); err != nil {
						return nil, err
					}
					return nil, want
				},
			}},
		})
	}
	each(t, register, func(t *testing.T, client *ttrpc.Client) {
		check := func(what string, err error) {
			t.Helper()
			if got, _ := grpcstatus.FromError(err); !proto.Equal(got.Proto(), grpcstatus.Convert(want).Proto()) {
				t.Errorf("B9: %s: %v, want %v with its detail", what, err, want)
			}
		}
		check("a call", client.Call(context.Background(), "failing", "Call", new(emptypb.Empty), new(emptypb.Empty)))
		s, err := client.NewStream(context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, "failing", "Stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		m := new(wrapperspb.StringValue)
		if err := s.RecvMsg(m); err != nil || m.Value != "first" {
			t.Errorf("B10: %q, %v", m.Value, err)
		}
		check("a stream", s.RecvMsg(m))
		err = client.Call(context.Background(), "failing", "None", new(emptypb.Empty), new(emptypb.Empty))
		if grpcstatus.Code(err) != codes.Unimplemented || grpcstatus.Convert(err).Message() != "method None" {
			t.Errorf("B10: what nobody has: %v", err)
		}
	})
}

// TestContext has handlers tell which metadata and deadline reached them.
func TestContext(t *testing.T) {
	tell := func(ctx context.Context) any {
		user, _ := ttrpc.GetMetadata(ctx)
		deadline, ok := ctx.Deadline()
		hour := ok && time.Until(deadline) > 55*time.Minute && time.Until(deadline) <= time.Hour
		return wrapperspb.String(fmt.Sprint(user["user"], hour))
	}
	register := func(s *ttrpc.Server) {
		s.RegisterService("telling", &ttrpc.ServiceDesc{
			Methods: map[string]ttrpc.Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) { return tell(ctx), nil }},
			Streams: map[string]ttrpc.Stream{"Stream": {
				Handler: func(ctx context.Context, _ ttrpc.StreamServer) (any, error) { return tell(ctx), nil },
			}},
		})
	}
	each(t, register, func(t *testing.T, client *ttrpc.Client) {
		ctx, cancel := context.WithTimeout(ttrpc.WithMetadata(context.Background(), ttrpc.MD{"user": {"ada", "bob"}}), time.Hour)
		defer cancel()
		const want = "[ada bob] true"
		m := new(wrapperspb.StringValue)
		if err := client.Call(ctx, "telling", "Call", new(emptypb.Empty), m); err != nil || m.Value != want {
			t.Errorf("B16: a call's metadata and deadline arrive as %s, %v", m.Value, err)
		}
		s, err := client.NewStream(ctx, new(ttrpc.StreamDesc), "telling", "Stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		m.Reset()
		if err := s.RecvMsg(m); err != nil || m.Value != want {
			t.Errorf("B17: a stream's metadata and deadline arrive as %s, %v", m.Value, err)
		}
	})
}

// TestCancellation: who goes, or gives up in extended mode, ends the handler behind the
// proxy as well.
func TestCancellation(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	register := func(s *ttrpc.Server) {
		s.Register("waiting", map[string]ttrpc.Method{"Call": func(ctx context.Context, _ func(any) error) (any, error) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return nil, ctx.Err()
		}})
	}
	upstream := connect(t, serve(t, register, ttrpc.WithServerExtensions()), ttrpc.WithExtensions())
	address := serve(t, func(*ttrpc.Server) {}, ttrpc.WithServerExtensions(), ttrpc.WithUnknownServiceHandler(proxy.To(upstream)))
	for _, goes := range []bool{true, false} {
		client := connect(t, address, ttrpc.WithExtensions())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- client.Call(ctx, "waiting", "Call", new(emptypb.Empty), new(emptypb.Empty)) }()
		<-began
		if goes {
			client.Close()
		} else {
			cancel()
		}
		<-ended
		if err := <-done; err == nil {
			t.Error("B47: a call that was given up has succeeded")
		}
		cancel()
	}
}
