// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"errors"
	"fmt"
	"io"

	wire "github.com/moby/spdystream/spdy"

	"github.com/containerd/ttrpc/libchan"
)

// A protocolError tells what the peer may not do.
type protocolError struct{ text string }

func (e *protocolError) Error() string { return "libchan/spdy: malformed: " + e.text }

func malformed(format string, args ...any) error {
	return &protocolError{fmt.Sprintf(format, args...)}
}

// A ResetError is how a channel ends that the peer has reset.
type ResetError struct{ Status uint32 }

var resetNames = map[wire.RstStreamStatus]string{
	wire.ProtocolError: "a breach of the protocol", wire.InvalidStream: "a channel that it does not know",
	wire.RefusedStream: "it takes no more channels", wire.UnsupportedVersion: "an unknown version",
	wire.Cancel: "it wants no more of it", wire.InternalError: "an error on its side",
	wire.FlowControlError: "more data than it has room for", wire.StreamInUse: "an id that is in use",
	wire.StreamAlreadyClosed: "data on a channel that has ended", wire.InvalidCredentials: "invalid credentials",
	wire.FrameTooLarge: "a frame that is too large",
}

// Error implements error.
func (e *ResetError) Error() string {
	text, ok := resetNames[wire.RstStreamStatus(e.Status)]
	if !ok {
		text = fmt.Sprintf("status %d", e.Status)
	}
	return "libchan/spdy: the peer has reset the channel: " + text
}

// Is tells that a channel whose peer wants no more of it is closed.
func (e *ResetError) Is(target error) bool {
	return target == libchan.ErrClosed && wire.RstStreamStatus(e.Status) == wire.Cancel
}

var (
	errNeverOpened = errors.New("libchan/spdy: a message names a channel that the peer has not opened")
	errAwayPeer    = fmt.Errorf("%w: the peer is about to end the session", libchan.ErrDraining)
	errUnclaimed   = fmt.Errorf("%w: no message has named it", libchan.ErrDropped)
	errRefused     = errors.New("libchan/spdy: the peer has too many channels open, or unclaimed")
	errWindow      = errors.New("libchan/spdy: a window of more than 2,147,483,647 bytes")
	errIDs         = errors.New("libchan/spdy: the session has no ids left: end it and begin another")
	errTooMuch     = errors.New("libchan/spdy: unfinished messages hold more than may arrive unreceived")
	errNotRead     = errors.New("libchan/spdy: the peer does not read what it asks for")
)

// ended is the error of what goes on when the session ends. It is not io.EOF where the cause is:
// who receives takes that, by errors.Is, for the end that the sender has made.
func ended(cause error) error {
	if errors.Is(cause, io.EOF) {
		return fmt.Errorf("%w: %v", libchan.ErrSessionEnded, cause)
	}
	return fmt.Errorf("%w: %w", libchan.ErrSessionEnded, cause)
}

// statusOf returns the status with which a stream is reset for an error of its sender, or of
// its receiver.
func statusOf(err error) wire.RstStreamStatus {
	var breach *protocolError
	switch {
	case errors.Is(err, libchan.ErrClosed), errors.Is(err, libchan.ErrDropped), errors.Is(err, errStopped):
		return wire.Cancel
	case errors.As(err, &breach):
		return wire.ProtocolError
	case errors.Is(err, errTooLong):
		return wire.FrameTooLarge
	case errors.Is(err, errRefused), errors.Is(err, errAwayPeer):
		return wire.RefusedStream
	case errors.Is(err, errWindow):
		return wire.FlowControlError
	}
	return wire.InternalError
}
