// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/grpcttrpc/bridge"
)

// does returns a context that asks the handler to do something.
func does(ctx context.Context, what string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, behaviour, what)
}

// drained receives until a stream ends, and returns how.
func drained[M any](s grpc.ServerStreamingClient[M], err error) error {
	for err == nil {
		_, err = s.Recv()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// failures are what may go wrong with a call. Each has the code that grpc-go gives.
var failures = []struct {
	name string
	code codes.Code
	call func(ctx context.Context, client testpb.TestServiceClient, w way) error
}{
	{"unknown method", codes.Unimplemented, func(ctx context.Context, _ testpb.TestServiceClient, w way) error {
		return w.conn.Invoke(ctx, "/"+service+"/None", new(testpb.Empty), new(testpb.Empty))
	}},
	{"unknown service", codes.Unimplemented, func(ctx context.Context, _ testpb.TestServiceClient, w way) error {
		return w.conn.Invoke(ctx, "/none.None/None", new(testpb.Empty), new(testpb.Empty))
	}},
	{"method without a slash", codes.Unimplemented, func(ctx context.Context, _ testpb.TestServiceClient, w way) error {
		return w.conn.Invoke(ctx, "/", new(testpb.Empty), new(testpb.Empty))
	}},
	{"deadline of a call", codes.DeadlineExceeded, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		ctx, cancel := context.WithTimeout(does(ctx, "sleep"), 50*time.Millisecond)
		defer cancel()
		_, err := client.EmptyCall(ctx, new(testpb.Empty))
		return err
	}},
	{"deadline of a stream", codes.DeadlineExceeded, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		ctx, cancel := context.WithTimeout(does(ctx, "sleep"), 50*time.Millisecond)
		defer cancel()
		return drained(client.FullDuplexCall(ctx))
	}},
	{"deadline that has passed", codes.DeadlineExceeded, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		ctx, cancel := context.WithTimeout(ctx, -1)
		defer cancel()
		_, err := client.EmptyCall(ctx, new(testpb.Empty))
		return err
	}},
	{"cancelled call", codes.Canceled, func(ctx context.Context, client testpb.TestServiceClient, w way) error {
		ctx, cancel := context.WithCancel(does(ctx, "wait"))
		defer cancel()
		go func() { <-w.running; cancel() }()
		_, err := client.EmptyCall(ctx, new(testpb.Empty))
		w.wantEnded(context.Canceled)
		return err
	}},
	{"cancelled stream", codes.Canceled, func(ctx context.Context, client testpb.TestServiceClient, w way) error {
		ctx, cancel := context.WithCancel(does(ctx, "wait"))
		defer cancel()
		s, err := client.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		go func() { <-w.running; cancel() }()
		err = s.RecvMsg(new(testpb.StreamingInputCallResponse))
		w.wantEnded(context.Canceled)
		return err
	}},
	{"request that is too large", codes.ResourceExhausted, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: body(4 << 20)})
		return err
	}},
	{"message to a stream that is too large", codes.ResourceExhausted, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		s, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		_ = s.Send(&testpb.StreamingOutputCallRequest{Payload: body(4 << 20)}) // Recv tells how it ends
		_, err = s.Recv()
		return err
	}},
	{"answer that is too large", codes.ResourceExhausted, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 4 << 20})
		return err
	}},
	{"answer on a stream that is too large", codes.ResourceExhausted, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		return drained(client.StreamingOutputCall(ctx, asking(1, 4<<20)))
	}},
	{"metadata with bytes that gRPC does not send", codes.Internal, func(ctx context.Context, client testpb.TestServiceClient, _ way) error {
		_, err := client.EmptyCall(metadata.AppendToOutgoingContext(ctx, "key", "\x00"), new(testpb.Empty))
		return err
	}},
	{"two requests of a call that takes one", codes.Internal, func(ctx context.Context, _ testpb.TestServiceClient, w way) error {
		if w.name == "grpc-go alone" { // whose handler in this test does not look
			return status.Error(codes.Internal, "")
		}
		s, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+service+"/EmptyCall")
		if err != nil {
			return err
		}
		for range 2 {
			if err := s.SendMsg(new(testpb.Empty)); err != nil {
				return err
			}
		}
		return s.RecvMsg(new(testpb.Empty))
	}},
	{"no request of a call that takes one", codes.Internal, func(ctx context.Context, _ testpb.TestServiceClient, w way) error {
		if w.name == "grpc-go alone" {
			return status.Error(codes.Internal, "")
		}
		s, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+service+"/EmptyCall")
		if err != nil {
			return err
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		return s.RecvMsg(new(testpb.Empty))
	}},
}

// wantEnded waits until a handler's context has ended, and why.
func (w way) wantEnded(want error) {
	if w.classic {
		return // it learns of nothing
	}
	if err := <-w.ended; err != want {
		panic(fmt.Sprintf("the handler's context ended with %v, want %v", err, want))
	}
}

// TestFailures holds every way to the codes that grpc-go gives.
func TestFailures(t *testing.T) {
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		for _, f := range failures {
			t.Run(f.name, func(t *testing.T) {
				err := f.call(bounded(t), testpb.NewTestServiceClient(w.conn), w)
				if status.Code(err) != f.code {
					t.Errorf("%v, want %v", err, f.code)
				}
			})
		}
		if _, err := testpb.NewTestServiceClient(w.conn).EmptyCall(bounded(t), new(testpb.Empty)); err != nil {
			t.Errorf("a call after all of them: %v", err)
		}
	})
}

// TestHalfClose holds that either side may end first.
func TestHalfClose(t *testing.T) {
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		ctx, client := bounded(t), testpb.NewTestServiceClient(w.conn)
		s, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(asking(3, 4)); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, s, 3, 4)
		s, err = client.FullDuplexCall(ctx) // the client says nothing at all
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, s)
		failing := &testpb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "enough"}
		s, err = client.FullDuplexCall(ctx) // the server ends, and the client has not
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&testpb.StreamingOutputCallRequest{ResponseStatus: failing}); err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		wantStatus(t, "a stream that the server ends first", err, failing)
	})
}

// TestTrailersOnly holds that a call that fails at once has no header.
func TestTrailersOnly(t *testing.T) {
	eachWay(t, bridge.Limits{}, func(t *testing.T, w way) {
		s, err := testpb.NewTestServiceClient(w.conn).StreamingOutputCall(bounded(t),
			&testpb.StreamingOutputCallRequest{ResponseStatus: &testpb.EchoStatus{Code: int32(codes.NotFound), Message: "none"}})
		if err != nil {
			t.Fatal(err)
		}
		header, err := s.Header()
		if _, failed := s.Recv(); len(header) > 0 || err != nil || status.Code(failed) != codes.NotFound {
			t.Errorf("header %v, %v; %v", header, err, failed)
		}
	})
}

// TestLimits holds each limit.
func TestLimits(t *testing.T) {
	limits := bridge.Limits{Calls: 1, Metadata: 8 << 10, Message: 1000}
	for _, w := range ways(t, limits)[1:] {
		t.Run(w.name, func(t *testing.T) {
			ctx, client := bounded(t), testpb.NewTestServiceClient(w.conn)
			held := make(chan error, 1)
			go func() {
				_, err := client.EmptyCall(does(ctx, "hold"), new(testpb.Empty))
				held <- err
			}()
			<-w.running
			_, err := client.EmptyCall(ctx, new(testpb.Empty))
			if s := status.Convert(err); s.Code() != codes.ResourceExhausted || !strings.Contains(s.Message(), "1 calls are under way") {
				t.Errorf("a call too many: %v", err)
			}
			close(w.goes)
			if err := <-held; err != nil {
				t.Errorf("the call that was there: %v", err)
			}
			_, err = client.EmptyCall(metadata.AppendToOutgoingContext(ctx, "k", strings.Repeat("v", 9<<10)), new(testpb.Empty))
			if err == nil {
				t.Error("9 KiB of metadata have passed, and 8 KiB are the limit")
			}
			_, err = client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: body(1001)})
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a message of more than 1000 bytes: %v", err)
			}
			_, err = client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 1001})
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("an answer of more than 1000 bytes: %v", err)
			}
			if err := drained(client.StreamingOutputCall(ctx, asking(10, 1001))); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("an answer of more than 1000 bytes on a stream: %v", err)
			}
		})
	}
	for _, w := range ways(t, bridge.Limits{Timeout: 50 * time.Millisecond})[1:] {
		if _, err := testpb.NewTestServiceClient(w.conn).EmptyCall(does(bounded(t), "wait"), new(testpb.Empty)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: a call over the time: %v", w.name, err)
		}
	}
}

// TestGone has the server go before, during and after calls.
func TestGone(t *testing.T) {
	config := bridge.Config{Methods: []bridge.Methods{described(t)}}
	t.Run("ttrpc", func(t *testing.T) {
		h := newHandlers()
		l, path := socket(t)
		l.Close() // nobody is there yet
		b := bridge.NewToTTRPC(dialTTRPC(t, "unix:"+path, ttrpc.WithExtensions()), config)
		client := testpb.NewTestServiceClient(dialGRPC(t, serveGRPC(t, b.NewServer())))
		start := func() (stop func()) {
			server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
			if err != nil {
				t.Fatal(err)
			}
			h.registerTTRPC(server)
			l, err := ttrpc.ListenAddress(context.Background(), "unix:"+path)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(context.Background(), l) }()
			return func() { server.Close(); <-served }
		}
		comesAndGoes(t, client, h, start)
	})
	t.Run("grpc", func(t *testing.T) {
		h := newHandlers()
		l, path := socket(t)
		l.Close()
		address := toGRPC(t, "unix://"+path, config, ttrpc.WithServerExtensions())
		client := testpb.NewTestServiceClient(toTTRPC(t, address, config, ttrpc.WithExtensions()))
		start := func() (stop func()) {
			server := grpc.NewServer()
			h.registerGRPC(server)
			l, err := ttrpc.ListenAddress(context.Background(), "unix:"+path)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			return func() { server.Stop(); <-served }
		}
		comesAndGoes(t, client, h, start)
	})
}

// comesAndGoes calls before a server is there, while it goes, and once it is back.
func comesAndGoes(t *testing.T, client testpb.TestServiceClient, h *handlers, start func() func()) {
	wantUnavailable := func(what string, err error) {
		t.Helper()
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := bounded(t)
	_, err := client.EmptyCall(ctx, new(testpb.Empty))
	wantUnavailable("a call before the server is there", err)
	wantUnavailable("a stream before the server is there", drained(client.StreamingOutputCall(ctx, asking(1))))
	stop := start()
	answers := func(what string) {
		t.Helper()
		for { // it connects with pauses
			_, err := client.EmptyCall(ctx, new(testpb.Empty))
			if err == nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
			if status.Code(err) != codes.Unavailable {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	answers("once the server is there")
	failed := make(chan error, 2)
	go func() {
		_, err := client.EmptyCall(does(ctx, "wait"), new(testpb.Empty))
		failed <- err
	}()
	go func() { failed <- drained(client.FullDuplexCall(does(ctx, "wait"))) }()
	<-h.running
	<-h.running
	stop()
	wantUnavailable("a call whose server goes", <-failed)
	wantUnavailable("a call whose server goes", <-failed)
	_, err = client.EmptyCall(ctx, new(testpb.Empty))
	wantUnavailable("a call after the server has gone", err)
	stop = start()
	defer stop()
	answers("once the server is back")
}
