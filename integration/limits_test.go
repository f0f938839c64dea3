// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/streaming"
)

const mib = 1 << 20

// payload returns a message that takes up n bytes and a few.
func payload(n int) *streaming.EchoPayload {
	return &streaming.EchoPayload{Msg: strings.Repeat("x", n)}
}

func TestOversizedRequest(t *testing.T) {
	c := start(t, service{}).connect(t)
	_, err := c.Echo(context.Background(), payload(4*mib))
	var big *ttrpc.OversizedMessageErr
	if !errors.As(err, &big) || big.MaximumLength() != 4*mib || big.RejectedLength() <= 4*mib {
		t.Errorf("B6: Echo: %v, want an OversizedMessageErr", err)
	}
	if code := status.Code(err); code != codes.ResourceExhausted {
		t.Errorf("B6: its code is %v, want %v", code, codes.ResourceExhausted)
	}
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(payload(4 * mib)); !errors.As(err, &big) {
		t.Errorf("B6: Send: %v, want an OversizedMessageErr", err)
	}
	if err := stream.Send(payload(3)); err != nil {
		t.Errorf("B6: Send after that: %v", err)
	}
	if got, err := stream.Recv(); err != nil || len(got.Msg) != 3 {
		t.Errorf("B6: Recv after that: %v, %v", got, err)
	}
	c.mustEcho(t, "B6")
}

func TestOversizedResponse(t *testing.T) {
	sent := make(chan error, 1)
	c := start(t, service{
		echo: func(_ context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
			if req.Msg == "large" {
				return payload(4 * mib), nil
			}
			return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
		},
		echoStream: func(_ context.Context, stream streaming.Streaming_EchoStreamServer) error {
			sent <- stream.Send(payload(4 * mib))
			return stream.Send(payload(3))
		},
	}).connect(t, ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 8 * mib})) // so that it is the server that refuses
	_, err := c.Echo(context.Background(), &streaming.EchoPayload{Msg: "large"})
	wantCode(t, "B8", err, codes.ResourceExhausted, "")
	if err == nil || !strings.Contains(err.Error(), "exceed maximum message size of 4194304") {
		t.Errorf("B8: Echo: %v, want the sizes", err)
	}
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || len(got.Msg) != 3 {
		t.Errorf("B6: Recv: %v, %v", got, err)
	}
	var big *ttrpc.OversizedMessageErr
	if err := <-sent; !errors.As(err, &big) {
		t.Errorf("B6: the server's Send: %v, want an OversizedMessageErr", err)
	}
	c.mustEcho(t, "B8")
}

// TestUnequalLimits: what one side may send and the other may not receive.
func TestUnequalLimits(t *testing.T) {
	answers := service{echo: func(_ context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		if req.Msg == "large" {
			return payload(5 * mib), nil
		}
		return &streaming.EchoPayload{Seq: req.Seq + 1, Msg: req.Msg}, nil
	}}
	t.Run("server", func(t *testing.T) {
		c := start(t, answers).connect(t, ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: 8 * mib}))
		_, err := c.Echo(context.Background(), payload(5*mib))
		wantCode(t, "B7", err, codes.ResourceExhausted, "")
		if err == nil || !strings.Contains(err.Error(), "exceed maximum message size of 4194304") {
			t.Errorf("B7: Echo: %v, want the sizes", err)
		}
		stream, err := c.EchoStream(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(payload(5 * mib)); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantCode(t, "B7", err, codes.ResourceExhausted, "")
		c.mustEcho(t, "B7")
	})
	t.Run("client", func(t *testing.T) {
		c := start(t, answers, ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: 8 * mib})).connect(t)
		_, err := c.Echo(context.Background(), &streaming.EchoPayload{Msg: "large"})
		if code := status.Code(err); code != codes.ResourceExhausted {
			t.Errorf("B7: Echo: %v, want the code %v", err, codes.ResourceExhausted)
		}
		c.mustEcho(t, "B7")
	})
}

func TestRaisedLimits(t *testing.T) {
	for _, limit := range []int{mib, 8 * mib, 16*mib - 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			c := start(t, service{}, ttrpc.WithServerLimits(ttrpc.Limits{MessageSize: limit})).connect(t, ttrpc.WithClientLimits(ttrpc.Limits{MessageSize: limit}))
			const envelope = 100
			want := payload(limit - envelope)
			got, err := c.Echo(context.Background(), want)
			if err != nil || got.Msg != want.Msg {
				t.Errorf("B35: Echo of %d bytes: %d bytes, %v", len(want.Msg), len(got.GetMsg()), err)
			}
			stream, err := c.EchoStream(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(want); err != nil {
				t.Fatal(err)
			}
			if got, err = stream.Recv(); err != nil || got.Msg != want.Msg {
				t.Errorf("B35: a message of %d bytes: %d bytes, %v", len(want.Msg), len(got.GetMsg()), err)
			}
			_, err = c.Echo(context.Background(), payload(limit))
			var big *ttrpc.OversizedMessageErr
			if !errors.As(err, &big) || big.MaximumLength() != limit {
				t.Errorf("B6: Echo over the limit: %v, want an OversizedMessageErr", err)
			}
		})
	}
}

func TestImpossibleLimits(t *testing.T) {
	for _, size := range []int{-1, 1024*mib + 1} {
		limits := ttrpc.Limits{MessageSize: size}
		for side, option := range map[string]func(){
			"client": func() { ttrpc.WithClientLimits(limits) },
			"server": func() { ttrpc.WithServerLimits(limits) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("B7: a %s takes the maximum message size %d", side, size)
					}
				}()
				option()
			}()
		}
	}
}

func TestMaxConcurrentHandlers(t *testing.T) {
	g := newGate()
	s := start(t, service{echo: g.echo}, ttrpc.WithServerLimits(ttrpc.Limits{Handlers: 2}))
	c := s.connect(t)
	first, second := c.echoing(context.Background()), c.echoing(context.Background())
	<-g.entered
	<-g.entered
	_, err := c.Echo(context.Background(), new(streaming.EchoPayload))
	wantCode(t, "B32", err, codes.ResourceExhausted, "")
	stream, err := c.EchoStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, "B32", err, codes.ResourceExhausted, "")

	// The cap is each connection's own.
	s.connect(t).mustStream(t, "B32")

	close(g.release)
	for _, done := range []<-chan error{first, second} {
		if err := <-done; err != nil {
			t.Errorf("B32: a call under the cap: %v", err)
		}
	}
	c.mustStream(t, "B32")
}

func TestMaxConnections(t *testing.T) {
	log := newLog()
	s := start(t, service{}, ttrpc.WithServerLimits(ttrpc.Limits{Connections: 1}), ttrpc.WithServerLogger(log))
	first := s.connect(t)
	first.mustEcho(t, "B32")

	over := s.dial(t)
	defer over.Close()
	if n, err := over.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("B32: reading on a connection over the cap: %d, %v, want EOF", n, err)
	}
	if line := log.await(t, "warn"); !strings.Contains(line, "too many connections") {
		t.Errorf("B32: logged %q, want the reason", line)
	}
	first.mustEcho(t, "B32")

	first.raw.Close()
	for { // until the server has seen that
		_, err := s.connect(t).Echo(context.Background(), new(streaming.EchoPayload))
		if err == nil {
			break
		}
		if err != ttrpc.ErrClosed {
			t.Fatalf("B32: Echo: %v, want %v or success", err, ttrpc.ErrClosed)
		}
	}
}
