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
	// it. [Client.Cause] tells why. Where errors are statuses, see
	// [WithStatusErrors], these wrap it, and all others of this list.
	ErrClosed = errors.New("ttrpc: closed")

	// ErrServerClosed is what [Server.Serve] returns after Shutdown or Close.
	ErrServerClosed = errors.New("ttrpc: server closed")

	// ErrStreamClosed is what SendMsg and CloseSend return after CloseSend.
	ErrStreamClosed = errors.New("ttrpc: stream closed")

	// ErrStreamFull ends a stream whose receiver did not take messages out of
	// its queue for too long, see [StreamQueue].
	ErrStreamFull = errors.New("ttrpc: stream buffer full")

	// ErrNotExecuted is wrapped by the error of a call that the peer has certainly not
	// begun, because it said goodbye first, or because a client made by [Dial] has no
	// connection: it is safe to repeat, on another connection. That error is a status of
	// code Unavailable. In extended mode it is also wrapped, and then the code is
	// ResourceExhausted, by the error of a call that an end has refused because there was
	// no room for it: it is safe to repeat when others have ended; or FailedPrecondition,
	// if the system does not pass a file of its request.
	ErrNotExecuted = errors.New("ttrpc: not executed")

	// ErrPeerClassic is what calls of a server's to its client return if the client does
	// not know the extended mode, or has not asked for it. Nothing is sent.
	ErrPeerClassic = errors.New("ttrpc: the peer does not know the extended mode, and takes no calls")

	// ErrNoFiles is wrapped by the error of a call or message with files on a connection
	// that passes none. Nothing is sent. The text says why: this side has not asked for
	// files, by [Limits]; or the conn cannot pass them, for it is no unix socket, the
	// system is not Linux, or the socket was told not to; or the peer has not agreed.
	ErrNoFiles = errors.New("ttrpc: the connection cannot pass files")

	// ErrNoResponseMetadata is what [SetHeader] and its like return if an answer cannot
	// have metadata: the connection is not in extended mode, or the peer does not know
	// such metadata. Nothing is sent.
	ErrNoResponseMetadata = errors.New("ttrpc: the connection carries no metadata of answers")

	// ErrKeepalive is the cause of the end of a connection whose peer has sent nothing
	// for too long, see [WithKeepalive].
	ErrKeepalive = errors.New("ttrpc: the peer does not answer")

	// ErrTooManyPings is wrapped by the cause of the end of a connection that the peer has
	// ended because this end pinged more often than it may, see [Keepalive].
	ErrTooManyPings = errors.New("ttrpc: the peer wants fewer pings")
)

// errTwoClients ends a connection with a client at either end.
var errTwoClients = &connError{"the other end of the connection is a client, too"}

// errFilesUnannounced ends a connection on which more files come than belong to frames.
var errFilesUnannounced = errors.New("ttrpc: files have come that no frame says anything of")

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

// A refusedError is the error of what was not executed, and is not tried on another connection.
type refusedError interface {
	error
	refused()
}

// errServesNothing is what calls to a peer get that answers none.
const errServesNothing = "ttrpc: the peer answers no calls"

// A connError ends the connection: what the peer sent is not ttrpc.
type connError struct{ msg string }

func (e *connError) Error() string { return "ttrpc: " + e.msg }

func (e *connError) Unwrap() error { return ErrProtocol }
