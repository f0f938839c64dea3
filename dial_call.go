// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc/internal/wire"
)

// errEnded is what a call gets that comes to a connection too late.
var errEnded = notExecuted("the connection has ended")

// lostOnItsWay is the error of a call that may or may not have run.
func lostOnItsWay(cause error) error {
	_, why := closedBy(cause)
	return statusErr{codes.Unavailable, ErrClosed.Error() + ": the connection was lost, and the call may or may not have run: " + why, ErrClosed}
}

// told implements [connector].
func (r *redialer) told(err error) error {
	if err == nil {
		return nil
	}
	if err == context.Canceled || err == context.DeadlineExceeded {
		r.mu.Lock()
		absent := r.current == nil && r.ctx.Err() == nil
		r.mu.Unlock()
		if absent {
			return r.waitedInVain(err)
		}
	}
	return asStatus(err, r.cause())
}

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
		response, err = l.link.roundTrip(ctx, head, p)
		if err == nil && l.refused(response) {
			response.release()
			response, err = nil, notExecuted(ErrServerClosed.Error())
		}
		if err == nil && !l.answered.Load() {
			l.answered.Store(true)
		}
		return err
	})
	return response, err
}

// refused tells whether a response says that a classic server, which has no goodbye, is
// shutting down and has not begun the call (B25).
func (l *dialled) refused(response *frame) bool {
	if codes.Code(wire.ResponseCode(response.data)) != codes.Unavailable || l.conn.mode != nil {
		return false
	}
	st, _, err := parseResponse(response.data)
	return err == nil && st.GetMessage() == ErrServerClosed.Error()
}

// openStream implements [connector].
func (r *redialer) openStream(ctx context.Context, desc *StreamDesc, service, method string, req any, extras callerExtras) (cs ClientStream, err error) {
	err = r.try(ctx, false, func(l *dialled) (err error) {
		cs, err = l.link.openStream(ctx, desc, service, method, req, extras)
		return err
	})
	return cs, err
}

// try makes attempts on one connection after the other, until one succeeds, fails
// for another reason than its connection, or may not be followed by a next one.
// repeatable tells whether one that may have run may be.
func (r *redialer) try(ctx context.Context, repeatable bool, attempt func(*dialled) error) error {
	var lost error // of the last attempt that may have run
	failFast := r.failsFast(ctx)
	for {
		l, err := r.get(ctx, !failFast)
		switch {
		case err != nil && lost != nil && errors.Is(err, ErrNotExecuted):
			return lost
		case err != nil:
			return r.told(err)
		}
		if err = l.await(ctx); err == nil {
			err = attempt(l)
		}
		var refused refusedError // as by any other connection
		unbegun := errors.Is(err, ErrNotExecuted) && !errors.As(err, &refused)
		switch {
		case !unbegun && !errors.Is(err, ErrClosed):
			return r.told(err)
		case r.ctx.Err() != nil:
			return r.told(ErrClosed)
		case !unbegun:
			lost = lostOnItsWay(l.cause())
		}
		r.leave(l)
		switch {
		case unbegun && failFast && lost == nil:
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
			return false, r.told(err)
		}
		if is, err := l.link.extended(ctx); !errors.Is(err, ErrClosed) {
			return is, err
		}
		r.leave(l)
	}
}

// peer implements [peerKnower].
func (r *redialer) peer(ctx context.Context) (*Peer, error) {
	l, err := r.get(ctx, !r.failsFast(ctx))
	if err != nil {
		return nil, r.told(err)
	}
	return l.link.peer(ctx)
}

// get returns the current link. If there is none it waits for one. Without waits it waits
// for the attempt to connect that is under way, and then fails.
func (r *redialer) get(ctx context.Context, waits bool) (*dialled, error) {
	for {
		r.mu.Lock()
		l, changed, attempt, absent := r.current, r.changed, r.attempt, r.absent
		r.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case ctx.Err() != nil:
			return nil, errOf(ctx)
		case r.ctx.Err() != nil:
			return nil, ErrClosed
		case !waits && attempt == nil:
			return nil, notExecuted("no connection: " + absent.Error())
		}
		select {
		case <-changed:
		case <-attempt: // nil while there is a pause
		case <-r.ctx.Done():
		case <-ctx.Done():
			return nil, r.waitedInVain(errOf(ctx))
		}
	}
}

// waitedInVain is the error of a call whose context has ended, with err, while there was no
// connection. It tells how the last attempt at one has failed.
func (r *redialer) waitedInVain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return statusErr{localCode(err), err.Error() + ": no connection: " + r.absent.Error(), err}
}
