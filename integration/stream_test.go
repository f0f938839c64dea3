// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

// withHour returns a context with a deadline that does not pass.
func withHour(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Hour)
}

// TestAbandonedStream: a stream that its client does not receive from, and
// forgets, delays nobody.
func TestAbandonedStream(t *testing.T) {
	const messages = 1000
	sent := make(chan struct{})
	s := start(t, service{divideStream: func(_ context.Context, _ *streaming.Sum, stream streaming.Streaming_DivideStreamServer) error {
		defer close(sent)
		for range messages {
			if err := stream.Send(new(streaming.Part)); err != nil {
				return err
			}
		}
		return nil
	}})
	log := newLog()
	c := s.connect(t, ttrpc.WithClientLogger(log), ttrpc.WithClientLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Messages: 1, Patience: time.Hour}}))
	if _, err := c.DivideStream(context.Background(), new(streaming.Sum)); err != nil {
		t.Fatal(err)
	}
	c.mustEcho(t, "B41")
	<-sent
	c.mustEcho(t, "B41") // its answer comes after all of the stream
	c.mustStream(t, "B41")
	log.noErrors(t, "B22")
}

// TestStreamOfEndedContext: what comes after the end is dropped.
func TestStreamOfEndedContext(t *testing.T) {
	canceled := make(chan struct{})
	handled := make(chan error, 1)
	s := start(t, service{divideStream: func(_ context.Context, _ *streaming.Sum, stream streaming.Streaming_DivideStreamServer) error {
		err := stream.Send(new(streaming.Part))
		<-canceled
		for i := 0; err == nil && i < 10; i++ {
			err = stream.Send(new(streaming.Part))
		}
		handled <- err
		return err
	}})
	log := newLog()
	c := s.connect(t, ttrpc.WithClientLogger(log))
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := c.DivideStream(ctx, new(streaming.Sum))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	received := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		received <- err
	}()
	cancel()
	if err := <-received; err != context.Canceled {
		t.Errorf("B21: Recv when the context ends: %v, want the bare %v", err, context.Canceled)
	}
	if _, err := stream.Recv(); err != context.Canceled {
		t.Errorf("B21: Recv after that: %v, want %v again", err, context.Canceled)
	}
	close(canceled)
	if err := <-handled; err != nil {
		t.Errorf("B22: the server's Send after the client's end: %v", err)
	}
	c.mustEcho(t, "B22")
	log.noErrors(t, "B22")
}

func TestStreamDeadline(t *testing.T) {
	ended := make(chan error, 1)
	release := make(chan struct{})
	defer close(release)
	c := start(t, service{echoStream: func(ctx context.Context, stream streaming.Streaming_EchoStreamServer) error {
		_, err := stream.Recv()
		<-ctx.Done()
		ended <- ctx.Err()
		<-release
		return err
	}}).connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	stream, err := c.EchoStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	// The stream ends at both ends at once, so either may be first to say so.
	if err != context.DeadlineExceeded {
		wantCode(t, "B17", err, codes.DeadlineExceeded, "")
	}
	if err := <-ended; err != context.DeadlineExceeded {
		t.Errorf("B17: the handler's context ended with %v, want %v", err, context.DeadlineExceeded)
	}
	c.mustEcho(t, "B17")
}

func TestStreamOfGonePeer(t *testing.T) {
	ended := make(chan error, 2)
	s := start(t, service{echoStream: func(ctx context.Context, stream streaming.Streaming_EchoStreamServer) error {
		_, err := stream.Recv()
		if err == nil {
			_, err = stream.Recv()
		}
		ended <- err
		<-ctx.Done()
		ended <- ctx.Err()
		return nil
	}})
	c := s.connect(t)
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != nil {
		t.Fatal(err)
	}
	c.mustEcho(t, "B26") // and the stream has arrived before
	c.raw.Close()
	for _, what := range []string{"Recv", "the context"} {
		if err := <-ended; err != context.Canceled {
			t.Errorf("B26: %s ended with %v, want %v", what, err, context.Canceled)
		}
	}
	if _, err := stream.Recv(); err != ttrpc.ErrClosed {
		t.Errorf("B1: Recv: %v, want %v", err, ttrpc.ErrClosed)
	}
	if err := stream.Send(new(streaming.EchoPayload)); err != ttrpc.ErrClosed {
		t.Errorf("B1: Send: %v, want %v", err, ttrpc.ErrClosed)
	}
	if err := stream.CloseSend(); err != ttrpc.ErrClosed {
		t.Errorf("B1: CloseSend: %v, want %v", err, ttrpc.ErrClosed)
	}
}

// TestClientQueueOverflows: a stream whose receiver is too slow fails alone.
func TestClientQueueOverflows(t *testing.T) {
	flooded := make(chan struct{})
	c := start(t, service{echoStream: func(_ context.Context, stream streaming.Streaming_EchoStreamServer) error {
		for range 10 {
			if err := stream.Send(new(streaming.EchoPayload)); err != nil {
				return err
			}
		}
		close(flooded)
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
	}}).connect(t, ttrpc.WithClientLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Messages: 5, Patience: time.Millisecond}}))
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	<-flooded
	// Receiving would help the stream, so its end shows in sending.
	for err == nil {
		runtime.Gosched()
		err = stream.Send(new(streaming.EchoPayload))
	}
	if err != ttrpc.ErrStreamFull {
		t.Errorf("B41: Send: %v, want %v", err, ttrpc.ErrStreamFull)
	}
	if _, err := stream.Recv(); err != ttrpc.ErrStreamFull {
		t.Errorf("B41: Recv: %v, want %v", err, ttrpc.ErrStreamFull)
	}
	c.mustEcho(t, "B41")
}

func TestServerQueueOverflows(t *testing.T) {
	causes := make(chan error, 1)
	c := start(t, service{echoStream: func(ctx context.Context, stream streaming.Streaming_EchoStreamServer) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		_, err := stream.Recv()
		return err
	}}, ttrpc.WithServerLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Messages: 5, Patience: time.Millisecond}})).connect(t)
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := stream.Send(new(streaming.EchoPayload)); err != nil {
			t.Fatal(err)
		}
	}
	if cause := <-causes; cause != ttrpc.ErrStreamFull {
		t.Errorf("B41: the handler's context ended because of %v, want %v", cause, ttrpc.ErrStreamFull)
	}
	_, err = stream.Recv()
	wantCode(t, "B41", err, codes.ResourceExhausted, ttrpc.ErrStreamFull.Error())
	c.mustEcho(t, "B41")
}

// TestPatientQueue: a receiver that comes in time finds everything.
func TestPatientQueue(t *testing.T) {
	const messages = 500
	c := start(t, service{}, ttrpc.WithServerLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Messages: 1, Patience: time.Hour}})).connect(t,
		ttrpc.WithClientLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Messages: 1, Patience: time.Hour}}))
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := uint32(0); i < messages; i++ {
		if err := stream.Send(&streaming.EchoPayload{Seq: i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := uint32(0); i < messages; i++ {
		if got, err := stream.Recv(); err != nil || got.Seq != i+1 {
			t.Fatalf("B41: message %d: %v, %v", i, got, err)
		}
	}
}
