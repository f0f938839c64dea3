// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/ttrpc/integration/streaming"
)

// A barrier holds those who come to it until as many as atOnce are there.
type barrier struct {
	arrived atomic.Int64
	open    chan struct{}
}

func (b *barrier) wait() {
	if b.arrived.Add(1) == atOnce {
		close(b.open)
	}
	<-b.open
}

// TestManyCallsAtOnce makes 100,000 calls on one connection, fewer with the
// race detector. As many as atOnce says, all without it, are in their handlers
// before the first returns.
func TestManyCallsAtOnce(t *testing.T) {
	barriers := make([]barrier, calls/atOnce)
	c := start(t, service{echo: func(_ context.Context, req *streaming.EchoPayload) (*streaming.EchoPayload, error) {
		barriers[req.Seq/atOnce].wait()
		return req, nil
	}}).connect(t)
	for batch := range barriers {
		barriers[batch].open = make(chan struct{})
		var callers sync.WaitGroup
		for i := range uint32(atOnce) {
			callers.Add(1)
			go func() {
				defer callers.Done()
				seq := uint32(batch)*atOnce + i
				got, err := c.Echo(context.Background(), &streaming.EchoPayload{Seq: seq})
				if err != nil || got.Seq != seq {
					t.Errorf("B37: call %d: %v, %v", seq, got, err)
				}
			}()
		}
		callers.Wait()
	}
}
