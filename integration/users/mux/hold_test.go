// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
	"google.golang.org/protobuf/types/known/emptypb"
)

// service is that of the handlers that hold calls.
const service = "users.Hold"

// inFlight is how many calls are under way when something ends.
const inFlight = 8

// A holder serves calls that last until they are let go or their contexts end.
type holder struct {
	entered  chan struct{}
	released chan struct{}
	ended    chan error // of contexts
}

func newHolder() *holder {
	return &holder{make(chan struct{}, 2*inFlight), make(chan struct{}), make(chan error, 2*inFlight)}
}

func (h *holder) wait(ctx context.Context) (any, error) {
	h.entered <- struct{}{}
	select {
	case <-h.released:
		return new(emptypb.Empty), nil
	case <-ctx.Done():
		h.ended <- ctx.Err()
		return nil, ctx.Err()
	}
}

func (h *holder) register(s *ttrpc.Server) {
	s.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Call": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				if err := unmarshal(new(emptypb.Empty)); err != nil {
					return nil, err
				}
				return h.wait(ctx)
			},
		},
		Streams: map[string]ttrpc.Stream{
			"Stream": {
				Handler:         func(ctx context.Context, _ ttrpc.StreamServer) (any, error) { return h.wait(ctx) },
				StreamingClient: true, StreamingServer: true,
			},
		},
	})
}

// options make an end whose server has the holder.
func (h *holder) options() exchange.Options { return exchange.Options{Register: h.register} }

// call makes calls and streams that h, at the other end, holds. It returns when all
// have got there, and the channel brings how each of them ends.
func (h *holder) call(t *testing.T, ctx context.Context, c *ttrpc.Client) <-chan error {
	t.Helper()
	ends := make(chan error, 2*inFlight)
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	for range inFlight {
		go func() { ends <- c.Call(ctx, service, "Call", new(emptypb.Empty), new(emptypb.Empty)) }()
		stream, err := c.NewStream(ctx, desc, service, "Stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ends <- stream.RecvMsg(new(emptypb.Empty)) }()
	}
	for range 2 * inFlight {
		within(t, h.entered, "a call reaches its handler")
	}
	return ends
}

// wantEnds sees to it that all calls, or all handlers' contexts, end with an error.
func wantEnds(t *testing.T, ends <-chan error, want error, rule string) {
	t.Helper()
	for range 2 * inFlight {
		if err := within(t, ends, rule); err != want {
			t.Errorf("%s: it ended with %v, want %v", rule, err, want)
		}
	}
}
