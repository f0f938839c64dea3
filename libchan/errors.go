// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"errors"
	"fmt"
	"io"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrClosed is what a closed end, or a closed session, returns.
	ErrClosed = errors.New("libchan: closed")

	// ErrGivenAway is what an end returns that was sent away in a message: it belongs to
	// whoever receives that.
	ErrGivenAway = errors.New("libchan: the end was sent away in a message")

	// ErrDropped tells that nobody holds the other end: its message was never received, no
	// field took it, or whoever held it let go of it without Close.
	ErrDropped = errors.New("libchan: the other end was dropped")

	// ErrOwnChannel is the error of an end that is sent over its own channel.
	ErrOwnChannel = errors.New("libchan: an end cannot be sent over its own channel")

	// ErrUnconfirmed tells that a message was sent, and that nobody knows whether it was
	// received: the wait for that has ended. [ContextSender].Taken tells it later.
	ErrUnconfirmed = errors.New("libchan: sent, and it is not known whether it was received")

	// ErrSessionEnded tells that the session has ended that led to the other end.
	ErrSessionEnded = errors.New("libchan: the session has ended")

	errSilent  = errors.New("libchan: the peer has ended the channel's stream, and does not say what it has taken")
	errForeign = errors.New("libchan: the peer speaks of channels that were never given to it")
	errTooMany = errors.New("libchan: the peer says that it has taken more messages than were sent")

	// ErrDraining tells that the session opens no more channels, because it is about to end.
	ErrDraining = errors.New("libchan: the session is draining")
)

// sessionError is ErrSessionEnded with the cause. It is not io.EOF where the cause is: who
// receives takes that, by errors.Is, for the end that the sender has made.
func sessionError(cause error) error {
	switch {
	case cause == nil || errors.Is(cause, ErrSessionEnded):
		return cause
	case errors.Is(cause, io.EOF):
		return fmt.Errorf("%w: %v", ErrSessionEnded, cause)
	}
	return fmt.Errorf("%w: %w", ErrSessionEnded, cause)
}

// The errors of this package have codes of their own on the wire, beside their text, so
// that the other end finds them with errors.Is.
var wireErrors = []struct {
	err  error
	code codes.Code
}{
	{ErrSessionEnded, codes.Unavailable},
	{ErrDropped, codes.Aborted},
	{ErrDraining, codes.Unavailable},
	{io.ErrUnexpectedEOF, codes.DataLoss},
	{io.ErrClosedPipe, codes.Canceled},
}

// A peerError is an error that was sent by the other end: a status, that may be one of this
// package's.
type peerError struct {
	st *status.Status
	is error // or nil
}

func (e *peerError) Error() string              { return e.st.Message() }
func (e *peerError) GRPCStatus() *status.Status { return e.st }
func (e *peerError) Unwrap() error              { return e.is }

// errorOf returns the error that a status on the wire means, nil for none.
func errorOf(st *spb.Status) error {
	if st == nil {
		return nil
	}
	e := &peerError{st: status.FromProto(st)}
	for _, known := range wireErrors {
		if e.st.Code() != known.code {
			continue
		}
		switch rest, ok := strings.CutPrefix(e.st.Message(), known.err.Error()); {
		case ok && rest == "":
			return known.err
		case ok:
			e.is = known.err
		}
	}
	return e
}

// statusOf returns the status that an error is on the wire. Text that is no error has the
// code Unknown.
func statusOf(err error) *spb.Status {
	for _, known := range wireErrors {
		if errors.Is(err, known.err) {
			return &spb.Status{Code: int32(known.code), Message: err.Error()}
		}
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.New(codes.Unknown, err.Error())
	}
	if st.Code() == codes.OK {
		st = status.New(codes.Unknown, st.Message())
	}
	return st.Proto()
}
