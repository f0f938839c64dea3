// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpcttrpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A callError is the status that an error of ttrpc is to gRPC. errors.Is finds that error, so
// [ttrpc.ErrNotExecuted] for example.
type callError struct {
	st *status.Status
	is error
}

func (e *callError) Error() string { return e.st.Err().Error() }

// GRPCStatus makes the error a status.
func (e *callError) GRPCStatus() *status.Status { return e.st }

func (e *callError) Unwrap() error { return e.is }

// isAnswer tells whether an error of ttrpc is a status with which the peer has answered.
func isAnswer(err error) bool {
	_, is := err.(interface{ GRPCStatus() *status.Status })
	return is && errors.Unwrap(err) == nil
}

// failure is the one place that says which status an error of ttrpc is to gRPC: that of a call
// on client, or, if that is nil, one that a handler gets.
func failure(client *ttrpc.Client, err error) error {
	if isAnswer(err) {
		return err
	}
	code, text := codeOf(client, err)
	return &callError{status.New(code, text), err}
}

func codeOf(client *ttrpc.Client, err error) (codes.Code, string) {
	text := err.Error()
	given, is := err.(interface{ GRPCStatus() *status.Status })
	if is {
		text = given.GRPCStatus().Message()
	}
	var big *ttrpc.OversizedMessageErr
	switch {
	case errors.Is(err, ttrpc.ErrClosed):
		return closedCode(client, given, text)
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, text
	case errors.Is(err, context.Canceled):
		return codes.Canceled, text
	case errors.As(err, &big):
		return codes.ResourceExhausted, fmt.Sprintf("trying to send message larger than max (%d vs. %d)", big.RejectedLength(), big.MaximumLength())
	case errors.Is(err, ttrpc.ErrStreamFull):
		return codes.ResourceExhausted, text
	case errors.Is(err, ttrpc.ErrPeerClassic), errors.Is(err, ttrpc.ErrNoResponseMetadata):
		return codes.Unimplemented, text
	case errors.Is(err, ttrpc.ErrNoFiles):
		return codes.FailedPrecondition, text
	case is:
		return given.GRPCStatus().Code(), text
	}
	return codes.Internal, text
}

// closedCode is codeOf for a connection that has ended.
func closedCode(client *ttrpc.Client, given interface{ GRPCStatus() *status.Status }, text string) (codes.Code, string) {
	if client == nil {
		return codes.Unavailable, text
	}
	cause := client.Cause()
	if cause == ttrpc.ErrClosed || given != nil && given.GRPCStatus().Code() == codes.Canceled {
		return codes.Canceled, "grpc: the client connection is closing"
	}
	if given == nil && cause != nil {
		text += ": " + cause.Error()
	}
	return codes.Unavailable, text
}
