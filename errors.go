// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// These are returned as they are: callers may compare with ==, and match on
// the texts.
var (
	// ErrProtocol is wrapped by the errors of a stream that was used, here or
	// by the peer, against its description: messages sent where the client
	// does not stream, or data received where the server does not.
	ErrProtocol = errors.New("protocol error")

	// ErrClosed is what a client's methods, and those of its streams, return
	// once the connection has ended, whichever side and whatever error ended
	// it. [Client.Cause] tells why.
	ErrClosed = errors.New("ttrpc: closed")

	// ErrServerClosed is what [Server.Serve] returns after Shutdown or Close.
	ErrServerClosed = errors.New("ttrpc: server closed")

	// ErrStreamClosed is what SendMsg and CloseSend return after CloseSend.
	ErrStreamClosed = errors.New("ttrpc: stream closed")

	// ErrStreamFull ends a stream whose receiver did not take messages out of
	// its queue for too long, see [StreamQueue].
	ErrStreamFull = errors.New("ttrpc: stream buffer full")
)

// errNoFrame says that the socket holds no whole frame right now.
var errNoFrame = errors.New("ttrpc: no frame")

// OversizedMessageErr is the error of a message that was refused because its
// frame would have been longer than the limit. It is a status of code
// ResourceExhausted to status.FromError of google.golang.org/grpc.
type OversizedMessageErr struct {
	length, limit int
	err           error
}

// OversizedMessageError returns an *OversizedMessageErr for a message of
// messageLength bytes, or nil if the default limit of 4 MiB allows that length.
func OversizedMessageError(messageLength int) error {
	if messageLength <= messageLengthMax {
		return nil
	}
	return oversized(messageLength, messageLengthMax)
}

func oversized(length, limit int) *OversizedMessageErr {
	return &OversizedMessageErr{length, limit, status.Errorf(codes.ResourceExhausted,
		"message length %d exceed maximum message size of %d", length, limit)}
}

// Error returns the text of the status.
func (e *OversizedMessageErr) Error() string { return e.err.Error() }

// Unwrap returns the status error, of code ResourceExhausted.
func (e *OversizedMessageErr) Unwrap() error { return e.err }

// RejectedLength returns the length, in bytes, of what was refused: the
// message with its envelope.
func (e *OversizedMessageErr) RejectedLength() int { return e.length }

// MaximumLength returns the limit in bytes.
func (e *OversizedMessageErr) MaximumLength() int { return e.limit }

// A connError ends the connection: what the peer sent is not ttrpc.
type connError struct{ msg string }

func (e *connError) Error() string { return "ttrpc: " + e.msg }

func (e *connError) Unwrap() error { return ErrProtocol }
