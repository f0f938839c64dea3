// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package deadline has the deadlines of conns whose reads and writes wait with a context.
package deadline

import (
	"context"
	"sync"
	"time"
)

// A Deadline is that of reads or of writes: a context which ends when it passes. Whoever
// waits with that sees the deadline move. The zero Deadline never passes. Its methods may be
// used concurrently.
type Deadline struct {
	mu     sync.Mutex
	ctx    context.Context // nil until somebody needs it
	cancel context.CancelFunc
	timer  *time.Timer // nil if no deadline is set, or it has passed
}

// Context returns one that ends at the deadline.
func (d *Deadline) Context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.makeLocked()
	return d.ctx
}

func (d *Deadline) makeLocked() {
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancel(context.Background())
	}
}

// Set moves the deadline. The zero time is none.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx != nil && d.ctx.Err() != nil {
		d.ctx = nil
	}
	if t.IsZero() {
		return
	}
	d.makeLocked()
	left := time.Until(t)
	if left <= 0 {
		d.cancel()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer {
			d.timer = nil
			d.cancel()
		}
	})
	d.timer = timer
}
