// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"sync"
	"time"
)

// A deadline is that of reads or of writes: a context which ends when it passes. Whoever
// waits with that sees the deadline move.
type deadline struct {
	mu     sync.Mutex
	ctx    context.Context // nil until somebody needs it
	cancel context.CancelFunc
	timer  *time.Timer // nil if no deadline is set, or it has passed
}

// context returns one that ends at the deadline.
func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.makeLocked()
	return d.ctx
}

func (d *deadline) makeLocked() {
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancel(context.Background())
	}
}

// set moves the deadline. The zero time is none.
func (d *deadline) set(t time.Time) {
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
