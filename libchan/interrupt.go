// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An interrupt is a context for [ttrpc.Within] that lasts until fire is called. Unlike those of
// package context it costs nothing to wait with it again.
type interrupt struct {
	mu    sync.Mutex
	fired bool
	done  chan struct{}
	then  func() // to be called when it fires, or nil
	stops func() bool
}

func newInterrupt() *interrupt {
	i := &interrupt{done: make(chan struct{})}
	i.stops = i.stop
	return i
}

// fire ends the interrupt. It may be called with locks held, and of a nil interrupt.
func (i *interrupt) fire() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fired {
		return
	}
	i.fired = true
	close(i.done)
	if i.then != nil {
		go i.then()
		i.then = nil
	}
}

// fireWith fires when ctx ends, until stop is called.
func (i *interrupt) fireWith(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, i.fire)
}

func (i *interrupt) Deadline() (time.Time, bool) { return time.Time{}, false }
func (i *interrupt) Done() <-chan struct{}       { return i.done }
func (i *interrupt) Value(any) any               { return nil }

func (i *interrupt) Err() error {
	if i.isFired() {
		return errWouldWait
	}
	return nil
}

func (i *interrupt) isFired() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fired
}

// AfterFunc has ttrpc told without a context of its own: see [context.AfterFunc]. One waits at
// a time.
func (i *interrupt) AfterFunc(f func()) (stop func() bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fired {
		go f()
		return stopNothing
	}
	i.then = f
	return i.stops
}

func (i *interrupt) stop() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.then == nil {
		return false
	}
	i.then = nil
	return true
}

func stopNothing() bool { return false }

// tried is an interrupt that has fired: who uses it never waits.
var tried = func() *interrupt {
	i := newInterrupt()
	i.fire()
	return i
}()

// errWouldWait is the error of what would have to wait, or has been interrupted. It is a
// status, as which ttrpc returns it unchanged.
var errWouldWait error = &wouldWait{status.New(codes.Unavailable, "libchan: it would have to wait")}

type wouldWait struct{ st *status.Status }

func (e *wouldWait) Error() string              { return e.st.Message() }
func (e *wouldWait) GRPCStatus() *status.Status { return e.st }

func isTried(err error) bool { return errors.Is(err, errWouldWait) }
