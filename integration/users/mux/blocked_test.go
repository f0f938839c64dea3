// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !released

package mux

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestBlockedTrunk has nobody read the trunk, so that the first Write never returns,
// whatever becomes of the connection: nobody may wait for it.
func TestBlockedTrunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trunk, other := net.Pipe()
		defer other.Close()
		closed := make(chan struct{})
		end := join(t, trunk, exchange.Runtime, exchange.Options{OnClose: func() { close(closed) }})
		call := func(ctx context.Context, size int) <-chan error {
			ended := make(chan error, 1)
			go func() {
				ended <- end.Client.Call(ctx, exchange.Service, "Echo", wrapperspb.Bytes(make([]byte, size)), new(emptypb.Empty))
			}()
			synctest.Wait()
			return ended
		}
		for _, size := range []int{100, 10000} { // the second is queued behind the first
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := <-call(ctx, size); err != context.DeadlineExceeded {
				t.Errorf("B18: a call of %d bytes on a blocked connection: %v", size, err)
			}
			if waited := time.Since(begun); waited != time.Second { // of a bubble's time
				t.Errorf("B18: a call of %d bytes was let go after %v, not after its second", size, waited)
			}
		}
		canceled, cancel := context.WithCancel(t.Context())
		given := call(canceled, 100)
		kept := call(t.Context(), 100)
		cancel()
		if err := <-given; err != context.Canceled {
			t.Errorf("B18: a canceled call: %v", err)
		}
		end.Client.Close()
		if err := <-kept; err != ttrpc.ErrClosed {
			t.Errorf("B1: a call on a closed connection: %v", err)
		}
		<-closed
		// The trunk's end lets the Write go; that nothing is left the bubble sees.
	})
}

// TestBlockedAnswers is the same with a server whose answers nobody reads: it can be
// closed all the same.
func TestBlockedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local, remote := net.Pipe()
		g := make(gate) // holds back the first answer
		var made []*tap
		h := newHolder()
		opts := gated(t, g, &made)
		opts.Register = h.register
		plugin := join(t, remote, exchange.Plugin, opts)
		runtime := join(t, local, exchange.Runtime, exchange.Options{})
		ends := h.call(t, t.Context(), runtime.Client)
		close(h.released)
		synctest.Wait() // the first answer is being written
		if err := plugin.Server.Close(); err != nil {
			t.Errorf("B25: Close returned %v", err)
		}
		if err := <-plugin.Served; err != ttrpc.ErrServerClosed {
			t.Errorf("B24: Serve returned %v", err)
		}
		plugin.Mux.Close()
		close(g)
		wantEnds(t, ends, ttrpc.ErrClosed, "B1: a call whose answer was not written")
	})
}
