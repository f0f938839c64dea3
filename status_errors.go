// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// WithStatusErrors has every error of the client's calls and streams be a status of
// google.golang.org/grpc, with a text that says why, on classic connections too: Unavailable
// for a connection that has ended, DeadlineExceeded, Canceled and so on. errors.Is still finds
// what the error was without the option, [ErrClosed] or context.Canceled for example; io.EOF,
// which ends a stream with success, and errors that an interceptor makes, stay as they are.
// In extended mode, and of a client made by [Dial], errors are such without the option.
func WithStatusErrors() ClientOpts {
	return func(c *Client) { c.config.asStatus = asStatus }
}

// A statusFunc is asStatus. Only programs in which something asks for it link that.
type statusFunc func(err, ended error) error

// A statusErr is an error of this package that is a status, too. It is a value, so that the
// same end told twice is the same error.
type statusErr struct {
	code codes.Code
	text string
	is   error // what it was
}

func (e statusErr) Error() string { return e.text }

// GRPCStatus makes the error a status of google.golang.org/grpc.
func (e statusErr) GRPCStatus() *status.Status { return status.New(e.code, e.text) }

func (e statusErr) Unwrap() error { return e.is }

// notExecuted is the error of a call that the peer has certainly not begun.
func notExecuted(why string) error {
	return statusErr{codes.Unavailable, ErrNotExecuted.Error() + ": " + why, ErrNotExecuted}
}

// asStatus is the one place that says which status an error of a call or stream is. ended is
// why the connection has ended, or nil. What is a status stays as it is.
func asStatus(err, ended error) error {
	if _, is := status.FromError(err); is || err == io.EOF {
		return err
	}
	text := err.Error()
	if err == ErrClosed {
		code, why := closedBy(ended)
		return statusErr{code, text + ": " + why, err}
	}
	return statusErr{localCode(err), text, err}
}

// localCode is the code of an error that this end has made.
func localCode(err error) codes.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, ErrStreamFull):
		return codes.ResourceExhausted
	case errors.Is(err, ErrPeerClassic), errors.Is(err, ErrNoResponseMetadata):
		return codes.Unimplemented
	case errors.Is(err, ErrNoFiles):
		return codes.FailedPrecondition
	}
	return codes.Internal // the call or message cannot be such
}

// errLeaving is why this end takes no more calls while its Shutdown waits.
var errLeaving = errors.New("this end is shutting down")

// closedBy says what ErrClosed means, from the cause of the connection's end. As with
// google.golang.org/grpc who has closed the client itself is told Canceled.
func closedBy(cause error) (codes.Code, string) {
	switch cause {
	case nil:
		return codes.Unavailable, "the connection takes no more calls"
	case ErrClosed, ErrServerClosed:
		return codes.Canceled, "this end has closed the connection"
	case errLeaving:
		return codes.Canceled, cause.Error()
	case io.EOF:
		return codes.Unavailable, "the peer has closed the connection"
	}
	return codes.Unavailable, "the connection has ended: " + cause.Error()
}

// told is the one door through which the connection's errors reach who uses this end: as the
// release has them, or as statuses.
func (c *conn) told(err error, asStatus statusFunc) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	if c.mode != nil {
		asStatus = c.mode.asStatus
	}
	leaving := c.draining && c.lastID < 1<<32-2 // else ids are used up
	c.mu.Unlock()
	if asStatus == nil {
		return err
	}
	ended := c.why()
	if ended == nil && leaving {
		ended = errLeaving
	}
	return asStatus(err, ended)
}

// told implements [connector].
func (l *link) told(err error) error {
	if err == nil {
		return nil
	}
	return l.conn.told(err, l.cfg.asStatus)
}

// told is the same for a handler.
func (call *serverCall) told(err error) error {
	if err == nil {
		return nil
	}
	return call.conn.told(err, nil)
}
