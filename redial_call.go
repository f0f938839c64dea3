// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"os"

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

// call makes a unary call and returns the response, which is then the caller's.
func (r *redialer) call(ctx context.Context, head requestHead, p payload) (response *frame, err error) {
	err = r.try(ctx, isRepeatable(ctx), func(l *link) error {
		left, err := timeLeft(ctx)
		if err != nil {
			return err
		}
		if left > 0 { // there is less of it than when the head was made
			head.timeoutNano = min(head.timeoutNano, left)
		}
		if response, err = l.client.roundTrip(ctx, head, p); err == nil && !l.answered.Load() {
			l.answered.Store(true)
		}
		return err
	})
	return response, err
}

// openStream opens a stream.
func (r *redialer) openStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (cs ClientStream, err error) {
	err = r.try(ctx, false, func(l *link) (err error) {
		cs, err = l.client.openStream(ctx, desc, service, method, req)
		return err
	})
	return cs, err
}

// try makes attempts on one connection after the other, until one succeeds, fails
// for another reason than its connection, or may not be followed by a next one.
// repeatable tells whether one that may have run may be.
func (r *redialer) try(ctx context.Context, repeatable bool, attempt func(*link) error) error {
	files := callFilesOf(ctx)
	var kept []*os.File // each attempt sends duplicates
	if files != nil {
		kept = files.take()
		defer closeFiles(kept)
	}
	var lost error // of the last attempt that may have run
	for {
		l, err := r.get(ctx, !r.failFast)
		switch {
		case err != nil && lost != nil && errors.Is(err, ErrNotExecuted):
			return lost
		case err != nil:
			return err
		}
		err = l.try(ctx, files, kept, attempt)
		unbegun := errors.Is(err, ErrNotExecuted)
		switch {
		case !unbegun && !errors.Is(err, ErrClosed):
			return err
		case r.ctx.Err() != nil:
			return ErrClosed
		case !unbegun:
			lost = &lostError{l.client.Cause()}
		}
		r.leave(l)
		switch {
		case unbegun && r.failFast && lost == nil:
			return err
		case !unbegun && !repeatable:
			return lost
		}
	}
}

// try makes one attempt, with duplicates of the files.
func (l *link) try(ctx context.Context, of *CallFiles, files []*os.File, attempt func(*link) error) error {
	if err := l.client.awaitHello(ctx); err != nil {
		return err
	}
	if len(files) > 0 {
		if err := of.Attach(files...); err != nil {
			return err
		}
		defer func() { closeFiles(of.take()) }() // if they were not sent
	}
	return attempt(l)
}

// extended waits for a connection, whatever WithFailFast says, and tells whether it
// is in extended mode.
func (r *redialer) extended(ctx context.Context) (bool, error) {
	for {
		l, err := r.get(ctx, true)
		if err != nil {
			return false, err
		}
		if is, err := l.client.Extended(ctx); err != ErrClosed {
			return is, err
		}
		r.leave(l)
	}
}

// get returns the current link. If there is none it waits for one, or fails.
func (r *redialer) get(ctx context.Context, waits bool) (*link, error) {
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
			return nil, ctx.Err()
		}
	}
}
