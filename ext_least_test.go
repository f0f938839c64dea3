// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package ttrpc

import (
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc/internal/memconn"
)

// TestSmallestConnectionBytes holds that a call and a stream work with the least that
// StreamQueue.ConnectionBytes may be, at both ends.
func TestSmallestConnectionBytes(t *testing.T) {
	least := Limits{Queue: StreamQueue{ConnectionBytes: leastConnectionBytes}}
	onBothModes(t, func(t *testing.T, extended bool) {
		opts, serverOpts := []ClientOpts{WithClientLimits(least)}, []ServerOpt{WithServerLimits(least)}
		if extended {
			opts, serverOpts = append(opts, WithExtensions()), append(serverOpts, WithServerExtensions())
		}
		s, err := NewServer(serverOpts...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.RegisterService("test", extendedService())
		a, b := memconn.Pipe(0)
		s.accept(t.Context(), b)
		c := NewClient(a, opts...)
		defer c.Close()
		if is, err := c.Extended(t.Context()); is != extended || err != nil {
			t.Errorf("B48: extended %v: %v", is, err)
		}
		for _, n := range []int{0, 10_000} {
			answer := new(wrapperspb.StringValue)
			request := strings.Repeat("x", n)
			if err := c.Call(t.Context(), "test", "Echo", wrapperspb.String(request), answer); err != nil || answer.Value != request {
				t.Errorf("B48: a call with %d bytes: %v, %d bytes", n, err, len(answer.Value))
			}
			stream, err := c.NewStream(t.Context(), bidi, "test", "Echoes", nil)
			if err != nil {
				t.Fatalf("B48: NewStream: %v", err)
			}

			for range 3 {
				m := new(wrapperspb.BytesValue)
				if err := stream.SendMsg(wrapperspb.Bytes(make([]byte, n))); err != nil {
					t.Errorf("B48: SendMsg of %d bytes: %v", n, err)
				}
				if err := stream.RecvMsg(m); err != nil || len(m.Value) != n {
					t.Errorf("B48: RecvMsg of %d bytes: %v, %d bytes", n, err, len(m.Value))
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
				t.Errorf("B48: the end: %v", err)
			}
		}
	})
}
