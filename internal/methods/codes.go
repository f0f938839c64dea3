// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package methods

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// Called returns the code and text with which a call has ended for its caller, by the error
// that a client's interceptor sees, which on a classic connection may be no status, and by the answer, which may be
// nil: it has the status if there is no error. io.EOF is the good end of a stream.
func Called(err error, answer *ttrpc.Response) (codes.Code, string) {
	if err == nil || err == io.EOF {
		return codes.Code(answer.GetStatus().GetCode()), answer.GetStatus().GetMessage()
	}
	if st, ok := status.FromError(err); ok {
		return st.Code(), st.Message()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, err.Error()
	case errors.Is(err, ttrpc.ErrClosed):
		return codes.Unavailable, err.Error()
	case errors.Is(err, ttrpc.ErrStreamFull):
		return codes.ResourceExhausted, err.Error()
	}
	return codes.Internal, err.Error()
}

// Served returns the code with which a call has ended for its server, by the error that a trace is
// told. As with google.golang.org/grpc one whose caller has gone, connection and all, was cancelled.
func Served(err error) codes.Code {
	if errors.Is(err, ttrpc.ErrClosed) {
		return codes.Canceled
	}
	return status.Code(err)
}
