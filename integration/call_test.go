// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

func TestMetadata(t *testing.T) {
	arrived := make(chan ttrpc.MD, 1)
	read := func(ctx context.Context) {
		md, _ := ttrpc.GetMetadata(ctx)
		arrived <- md.Clone()
	}
	c := start(t, service{
		echo: func(ctx context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
			read(ctx)
			return req, nil
		},
		echoStream: func(ctx context.Context, _ streaming.Streaming_EchoStreamServer) error {
			read(ctx)
			return nil
		},
	}).connect(t)

	md := ttrpc.MD{"several": {"b", "a", "b"}, "Case-Kept": {"x"}, "empty": {""}}
	md.Set("FOLDED", "y")
	want := ttrpc.MD{"several": {"b", "a", "b"}, "Case-Kept": {"x"}, "empty": {""}, "folded": {"y"}}
	check := func(rule string) {
		t.Helper()
		if got := <-arrived; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the handler's metadata is %v, want %v", rule, got, want)
		}
	}
	ctx := ttrpc.WithMetadata(context.Background(), md)
	md.Set("late", "z") // the context has a copy
	if _, err := c.Echo(ctx, new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	check("B34")
	stream, err := c.EchoStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	check("B17")

	if _, err := c.Echo(context.Background(), new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	if got := <-arrived; len(got) != 0 {
		t.Errorf("B34: the handler's metadata is %v where the caller has none", got)
	}
}

func TestDeadline(t *testing.T) {
	g := newGate()
	defer close(g.release) // the handler must not answer before the caller gives up
	c := start(t, service{echo: g.echo}).connect(t)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := <-c.echoing(ctx); err != context.DeadlineExceeded {
		t.Errorf("B4: Echo: %v, want the bare %v", err, context.DeadlineExceeded)
	}
	handler := <-g.entered
	if _, ok := handler.Deadline(); !ok {
		t.Error("B16: the handler's context has no deadline")
	}
	<-handler.Done()
	if err := handler.Err(); err != context.DeadlineExceeded {
		t.Errorf("B26: the handler's context ended with %v, want %v", err, context.DeadlineExceeded)
	}
	if err := <-c.echoing(ctx); err != context.DeadlineExceeded {
		t.Errorf("B16: Echo after the deadline: %v, want %v", err, context.DeadlineExceeded)
	}
	select {
	case <-g.entered:
		t.Error("B16: a call whose deadline had passed was sent")
	default:
	}
}

func TestDeadlineOfServer(t *testing.T) {
	c := start(t, service{echo: func(ctx context.Context, _ *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		if _, ok := ctx.Deadline(); !ok {
			return nil, errors.New("no deadline")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, ttrpc.WithServerTimeouts(ttrpc.Timeouts{Call: time.Millisecond})).connect(t)

	_, err := c.Echo(context.Background(), new(streaming.EchoPayload))
	wantCode(t, "WithServerTimeouts", err, codes.DeadlineExceeded, "context deadline exceeded")

	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("WithServerTimeouts: a stream, which it is not for: %v", err)
	}
}

func TestDefaultTimeoutOfClient(t *testing.T) {
	g := newGate()
	defer close(g.release)
	s := start(t, service{echo: g.echo})
	c := s.connect(t, ttrpc.WithClientTimeouts(ttrpc.Timeouts{Call: 30 * time.Millisecond}))
	if err := <-c.echoing(context.Background()); err != context.DeadlineExceeded {
		t.Errorf("WithClientTimeouts: Echo: %v, want the bare %v", err, context.DeadlineExceeded)
	}
	<-g.entered

	// A deadline of the caller's own counts alone.
	c = s.connect(t, ttrpc.WithClientTimeouts(ttrpc.Timeouts{Call: time.Nanosecond}))
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	done := c.echoing(ctx)
	deadline, _ := (<-g.entered).Deadline()
	if left := time.Until(deadline); left < time.Minute {
		t.Errorf("WithClientTimeouts: %v are left of the caller's own hour", left)
	}
	cancel()
	<-done
}

func TestCancel(t *testing.T) {
	g := newGate()
	defer close(g.release)
	c := start(t, service{echo: g.echo}).connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := c.echoing(ctx)
	<-g.entered
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("B4: Echo: %v, want the bare %v", err, context.Canceled)
	}
	c.mustStream(t, "B4")
}

func TestErrorWithDetails(t *testing.T) {
	detail := &streaming.Sum{Sum: 1, Num: 2}
	st, err := status.New(codes.FailedPrecondition, "not yet").WithDetails(detail)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, service{
		echo: func(context.Context, *streaming.EchoPayload) (*streaming.EchoPayload, error) {
			return nil, fmt.Errorf("echo: %w", st.Err())
		},
		echoStream: func(context.Context, streaming.Streaming_EchoStreamServer) error { return st.Err() },
	}).connect(t)

	check := func(err error, message string) {
		t.Helper()
		wantCode(t, "B9", err, codes.FailedPrecondition, message)
		got, _ := status.FromError(err)
		if d := got.Details(); len(d) != 1 || !proto.Equal(d[0].(proto.Message), detail) {
			t.Errorf("B9: the details are %v, want %v", d, detail)
		}
	}
	_, err = c.Echo(context.Background(), new(streaming.EchoPayload))
	check(err, "echo: "+st.Err().Error())

	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	check(err, "not yet")
	_, again := stream.Recv()
	if again != err {
		t.Errorf("B21: a second Recv: %v, want %v again", again, err)
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	errs := []struct {
		err  error
		code codes.Code
	}{
		{io.EOF, codes.OutOfRange},
		{io.ErrUnexpectedEOF, codes.FailedPrecondition},
		{os.ErrInvalid, codes.InvalidArgument},
		{os.ErrNotExist, codes.NotFound},
		{os.ErrExist, codes.AlreadyExists},
		{os.ErrPermission, codes.PermissionDenied},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errors.New("plain"), codes.Unknown},
		{fmt.Errorf("wrapped: %w", io.EOF), codes.Unknown},
		{ttrpc.ErrClosed, codes.Unknown}, // B3
	}
	c := start(t, service{echo: func(_ context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		return nil, errs[req.Seq].err
	}}).connect(t)
	for i, want := range errs {
		_, err := c.Echo(context.Background(), &streaming.EchoPayload{Seq: uint32(i)})
		wantCode(t, "B9", err, want.code, want.err.Error())
	}
}

func TestRecoverPanics(t *testing.T) {
	log := newLog()
	c := start(t, service{echo: func(_ context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		if req.Msg == "panic" {
			panic("a handler's fault")
		}
		return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
	}}, ttrpc.WithRecoverPanics(), ttrpc.WithServerLogger(log)).connect(t)

	_, err := c.Echo(context.Background(), &streaming.EchoPayload{Msg: "panic"})
	wantCode(t, "B31", err, codes.Internal, "ttrpc: panic in the handler: a handler's fault")
	if got := log.await(t, "error"); !strings.Contains(got, "a handler's fault") || !strings.Contains(got, "TestRecoverPanics") {
		t.Errorf("B31: logged %q, want the panic with its stack", got)
	}
	c.mustEcho(t, "B31")
}

func TestConcurrentCallsDoNotMix(t *testing.T) {
	c := start(t, service{}).connect(t)
	var callers sync.WaitGroup
	defer callers.Wait()
	for i := range 50 {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for j := range 50 {
				want := fmt.Sprint(i, j)
				got, err := c.Echo(context.Background(), &streaming.EchoPayload{Msg: want})
				if err != nil || got.Msg != want {
					t.Errorf("B37: the answer to %q: %v, %v", want, got, err)
				}
			}
		}()
	}
}
