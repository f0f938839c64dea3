// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// statusOf returns the status that an error of either side is.
func statusOf(err error) *status.Status {
	if s, ok := status.FromError(err); ok {
		return s
	}
	var oversized *ttrpc.OversizedMessageErr
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err)
	case errors.As(err, &oversized):
		return status.New(codes.ResourceExhausted, err.Error())
	case errors.Is(err, ttrpc.ErrClosed):
		return status.New(codes.Unavailable, err.Error())
	case errors.Is(err, ttrpc.ErrProtocol), errors.Is(err, io.ErrUnexpectedEOF):
		return status.New(codes.Internal, err.Error())
	case errors.Is(err, ttrpc.ErrStreamFull):
		return status.New(codes.ResourceExhausted, err.Error())
	}
	return status.New(codes.Unknown, err.Error())
}

// asStatus returns err as an error that is a status, or nil.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	return statusOf(err).Err()
}

// A pipe is the context of a call as it is passed on. Whichever of the two directions fails
// first ends it, and says how the call ends.
type pipe struct {
	context.Context
	cancel context.CancelCauseFunc
}

// failure is the cause of a pipe's end.
type failure struct{ error }

func newPipe(ctx context.Context) *pipe {
	ctx, cancel := context.WithCancelCause(ctx)
	return &pipe{ctx, cancel}
}

// fail ends the pipe, unless it has ended.
func (p *pipe) fail(err error) { p.cancel(failure{asStatus(err)}) }

// close ends the pipe, of which nothing more is needed.
func (p *pipe) close() { p.cancel(nil) }

// err returns how the call ends if receiving has ended with err.
func (p *pipe) err(err error) error {
	var f failure
	if s := statusOf(err); s.Code() == codes.Canceled && errors.As(context.Cause(p), &f) {
		return f.error
	}
	return asStatus(err)
}
