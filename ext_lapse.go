// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"sync"
	"time"
)

// A lapsing is the part of a handler's context that ends at the deadline: as its own timer
// has it, or as the caller says, whose timer is a little ahead. Those of package context end
// with DeadlineExceeded by their own timers only.
type lapsing struct {
	context.Context // what it derives from
	done            chan struct{}
	timer           *time.Timer // nil without a deadline
	unwatch         func() bool // stops to watch what it derives from

	// Guarded by mu.
	mu   sync.Mutex
	err  error
	then func() // ends the one context that derives from it
}

// newLapse implements [mode].
func (*extended) newLapse(base context.Context, deadline time.Time) lapse {
	l := &lapsing{Context: base, done: make(chan struct{})}
	left := time.Until(deadline)
	switch {
	case base.Err() != nil:
		l.end(base.Err())
		return l
	case !deadline.IsZero() && left <= 0:
		l.end(context.DeadlineExceeded)
		return l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !deadline.IsZero() {
		l.timer = time.AfterFunc(left, func() { l.end(context.DeadlineExceeded) })
	}
	if base.Done() != nil {
		l.unwatch = context.AfterFunc(base, func() { l.end(base.Err()) })
	}
	return l
}

// end implements [lapse].
func (l *lapsing) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	close(l.done)
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.unwatch != nil {
		l.unwatch()
	}
	then := l.then
	l.mu.Unlock()
	if then != nil {
		then()
	}
}

// Done implements context.Context.
func (l *lapsing) Done() <-chan struct{} { return l.done }

// Err implements context.Context.
func (l *lapsing) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// AfterFunc is what package context asks for instead of a goroutine that waits.
func (l *lapsing) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		go f()
		return func() bool { return false }
	}
	l.then = f
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		stopped := l.err == nil && l.then != nil
		l.then = nil
		return stopped
	}
}

// asStatus implements [mode].
func (*extended) asStatus(err, ended error) error { return asStatus(err, ended) }

// gaveUp implements [mode]. It tells the context's cause, if that says more.
func (*extended) gaveUp(ctx context.Context) error {
	err, cause := errOf(ctx), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return statusErr{localCode(err), err.Error() + ": " + cause.Error(), err}
}
