// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errEnded is what a call gets that comes to a connection too late.
var errEnded = notExecuted("the connection has ended")

func notExecuted(why string) error {
	return &notExecutedError{status.New(codes.Unavailable, why)}
}

// A lostError is the error of a call that may or may not have run.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return fmt.Sprintf("%v: the connection was lost, and the call may or may not have run: %v", ErrClosed, e.cause)
}

// GRPCStatus makes the error a status of google.golang.org/grpc.
func (e *lostError) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, e.Error())
}

func (e *lostError) Unwrap() error { return ErrClosed }

// roundTrip implements [connector].
func (r *redialer) roundTrip(ctx context.Context, head requestHead, p payload) (response *frame, err error) {
	err = r.try(ctx, isRepeatable(ctx), func(l *dialled) error {
		left, err := timeLeft(ctx)
		if err != nil {
			return err
		}
		if left > 0 { // there is less of it than when the head was made
			head.timeoutNano = min(head.timeoutNano, left)
		}
		if response, err = l.link.roundTrip(ctx, head, p); err == nil && !l.answered.Load() {
			l.answered.Store(true)
		}
		return err
	})
	return response, err
}

// openStream implements [connector].
func (r *redialer) openStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (cs ClientStream, err error) {
	err = r.try(ctx, false, func(l *dialled) (err error) {
		cs, err = l.link.openStream(ctx, desc, service, method, req)
		return err
	})
	return cs, err
}

// try makes attempts on one connection after the other, until one succeeds, fails
// for another reason than its connection, or may not be followed by a next one.
// repeatable tells whether one that may have run may be.
func (r *redialer) try(ctx context.Context, repeatable bool, attempt func(*dialled) error) error {
	again := func() error { return nil }
	if extras := extrasOf(ctx); extras != nil {
		var done func()
		again, done = extras.keep()
		defer done()
	}
	var lost error // of the last attempt that may have run
	for {
		l, err := r.get(ctx, !r.FailFast)
		switch {
		case err != nil && lost != nil && errors.Is(err, ErrNotExecuted):
			return lost
		case err != nil:
			return err
		}
		if err = l.await(ctx); err == nil {
			err = again()
		}
		if err == nil {
			err = attempt(l)
		}
		unbegun := errors.Is(err, ErrNotExecuted)
		switch {
		case !unbegun && !errors.Is(err, ErrClosed):
			return err
		case r.ctx.Err() != nil:
			return ErrClosed
		case !unbegun:
			lost = &lostError{l.cause()}
		}
		r.leave(l)
		switch {
		case unbegun && r.FailFast && lost == nil:
			return err
		case !unbegun && !repeatable:
			return lost
		}
	}
}

// extended implements [connector]. It waits for a connection, whatever FailFast says, and tells whether it
// is in extended mode.
func (r *redialer) extended(ctx context.Context) (bool, error) {
	for {
		l, err := r.get(ctx, true)
		if err != nil {
			return false, err
		}
		if is, err := l.link.extended(ctx); err != ErrClosed {
			return is, err
		}
		r.leave(l)
	}
}

// get returns the current link. If there is none it waits for one, or fails.
func (r *redialer) get(ctx context.Context, waits bool) (*dialled, error) {
	for {
		r.mu.Lock()
		l, changed, absent := r.current, r.changed, r.absent
		r.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case r.ctx.Err() != nil:
			return nil, ErrClosed
		case !waits:
			return nil, notExecuted("no connection: " + absent.Error())
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
		case <-ctx.Done():
			return nil, errOf(ctx)
		}
	}
}
