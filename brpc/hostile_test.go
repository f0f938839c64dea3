// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// TestTunnelsAreBounded has a client open tunnels that it says nothing in, and wants the
// server to take some, and others again when these have ended.
func TestTunnelsAreBounded(t *testing.T) {
	_, path := start(t, testConfig{}, new(service))
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(nc, ttrpc.WithExtensions())
	defer client.Close()
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	open := func(ctx context.Context) error {
		s, err := client.NewStream(ctx, desc, "brpc.Tunnel", "Open", nil)
		if err == nil {
			err = s.RecvMsg(new(ttrpc.RawMessage)) // gRPC's settings, or why there is no tunnel
		}
		return err
	}
	many, end := context.WithCancel(ctxOf(t))
	defer end()
	for i := range 128 {
		if err := open(many); err != nil {
			t.Fatalf("B145: tunnel %d: %v", i, err)
		}
	}
	if err := open(many); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("B145: one more tunnel: %v", err)
	}
	end()
	for {
		err := open(ctxOf(t))
		if err == nil {
			return
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatalf("B145: a tunnel after the others: %v", err)
		}
	}
}
