// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package errcode tells the status codes of handlers' errors that are no statuses.
package errcode

import (
	"context"
	"io"
	"os"

	"google.golang.org/grpc/codes"
)

// Of returns the code that the caller gets of a handler's error which is no status (B9).
func Of(err error) codes.Code {
	switch err {
	case io.EOF:
		return codes.OutOfRange
	case io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite, io.ErrUnexpectedEOF:
		return codes.FailedPrecondition
	case os.ErrInvalid:
		return codes.InvalidArgument
	case context.Canceled:
		return codes.Canceled
	case context.DeadlineExceeded:
		return codes.DeadlineExceeded
	}
	switch {
	case os.IsExist(err):
		return codes.AlreadyExists
	case os.IsNotExist(err):
		return codes.NotFound
	case os.IsPermission(err):
		return codes.PermissionDenied
	}
	return codes.Unknown
}
