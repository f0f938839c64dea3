// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"errors"
	"fmt"
	"io"

	quicgo "github.com/quic-go/quic-go"

	"github.com/containerd/ttrpc/transport/internal/duplex"
)

var (
	// ErrSilent is what a conn fails with whose other end is not heard of any more.
	ErrSilent = errors.New("the other end is not heard of any more")

	// ErrNoAnswer is in the error of a Dial to where nobody answers.
	ErrNoAnswer = errors.New("no answer comes: nobody may listen there, or UDP may not get through")

	// ErrProtocol is in the error of a Dial to what speaks QUIC, and no "ttrpc" in it.
	ErrProtocol = errors.New(`the two ends have no protocol (ALPN) in common; this package's is "ttrpc"`)

	// ErrCertificate is in the error of a Dial, or of the first Read, when the other end does
	// not accept this one's certificate, or wants one and has got none.
	ErrCertificate = errors.New("the other end does not accept this one's certificate")

	// ErrRefused is in the error of a Dial to a listener that is closed, or has too many
	// clients that shake hands or wait for Accept.
	ErrRefused = errors.New("the other end takes no more connections")

	// ErrEnded is in the error of a Write when the other end has closed the connection.
	ErrEnded = errors.New("the other end has closed the connection")

	// ErrRestarted is what a conn fails with whose other end does not know it any more.
	ErrRestarted = errors.New("the other end does not know the connection any more; it may have been started again")
)

// A CloseError says why the other end has ended the connection: with [CodeUnread],
// [CodeNotAccepted], or a code of the program's from its [Conn.CloseWithError].
type CloseError struct {
	Code uint64
	Text string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("the other end has ended the connection with code %d: %s", e.Code, duplex.OneLine([]byte(e.Text)))
}

// A reason is an error of quic-go's that says what it means. Those are all net.ErrClosed, which
// is not to be mistaken for a Close of this end's. So errors.As finds them, and errors.Is does
// not.
type reason struct{ meaning, cause error }

// Error implements error.
func (r *reason) Error() string {
	return r.meaning.Error() + " (" + duplex.OneLine([]byte(r.cause.Error())) + ")"
}

// Unwrap returns what the error means.
func (r *reason) Unwrap() error { return r.meaning }

// As finds the error of quic-go's.
func (r *reason) As(target any) bool { return errors.As(r.cause, target) }

// The TLS alerts that are about certificates, and that about ALPN, as RFC 8446 numbers them. A
// QUIC error has them with cryptoError added.
const (
	cryptoError           = 0x100
	badCertificate        = 42
	certificateUnknown    = 46
	unknownCA             = 48
	accessDenied          = 49
	certificateRequired   = 116
	noApplicationProtocol = 120
)

// explain returns what an error of quic-go's means.
func explain(err error) error {
	if meaning := meaningOf(err); meaning != nil {
		return &reason{meaning, err}
	}
	return &reason{errors.New("the QUIC connection has failed"), err}
}

func meaningOf(err error) error {
	var (
		idle        *quicgo.IdleTimeoutError
		silent      *quicgo.HandshakeTimeoutError
		reset       *quicgo.StatelessResetError
		stopped     *quicgo.StreamError
		application *quicgo.ApplicationError
		crypto      *quicgo.TransportError
		limit       *quicgo.StreamLimitReachedError
	)
	switch {
	case errors.As(err, &idle):
		return ErrSilent
	case errors.As(err, &silent):
		return ErrNoAnswer
	case errors.As(err, &reset):
		return ErrRestarted
	case errors.As(err, &stopped):
		return ErrEnded
	case errors.As(err, &limit):
		return errors.New("the other end's configuration of QUIC does not let this one open the streams that a conn needs")
	case errors.As(err, &application) && application.Remote:
		if application.ErrorCode == codeEnded {
			return fmt.Errorf("%w, before all had been read: %w", ErrEnded, io.ErrUnexpectedEOF)
		}
		return &CloseError{uint64(application.ErrorCode), application.ErrorMessage}
	case errors.As(err, &crypto):
		return meaningOfCode(crypto)
	}
	return nil
}

func meaningOfCode(err *quicgo.TransportError) error {
	alert := int(err.ErrorCode) - cryptoError
	switch {
	case alert == noApplicationProtocol:
		return ErrProtocol
	case err.ErrorCode == quicgo.ConnectionRefused:
		return ErrRefused
	case !err.Remote:
		return nil
	case alert >= badCertificate && alert <= certificateUnknown, alert == unknownCA, alert == accessDenied, alert == certificateRequired:
		return ErrCertificate
	}
	return nil
}
