// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrorTexts(t *testing.T) {
	for err, want := range map[error]string{
		ErrClosed:       "ttrpc: closed",
		ErrServerClosed: "ttrpc: server closed",
		ErrStreamClosed: "ttrpc: stream closed",
		ErrStreamFull:   "ttrpc: stream buffer full",
		ErrProtocol:     "protocol error",
	} {
		if err.Error() != want {
			t.Errorf("B2: the text is %q, want %q", err, want)
		}
	}
}

// TestErrorLogger holds that the default logger writes all that it is given.
func TestErrorLogger(t *testing.T) {
	var b strings.Builder
	defer log.SetOutput(log.Writer())
	log.SetOutput(&b)
	new(errorLogger).Error("m", "a", 1, "error", io.EOF)
	if !strings.HasSuffix(b.String(), "m a=1 error=EOF\n") {
		t.Errorf("the default logger wrote %q, want m a=1 error=EOF", b.String())
	}
}

func TestOversizedMessageError(t *testing.T) {
	for _, n := range []int{-1, 0, messageLengthMax} {
		if err := OversizedMessageError(n); err != nil {
			t.Errorf("B6: %d bytes are refused: %v", n, err)
		}
	}
	err := OversizedMessageError(messageLengthMax + 1)
	checkOversized := func(err error, length, limit int) {
		t.Helper()
		var big *OversizedMessageErr
		if !errors.As(fmt.Errorf("wrapped: %w", err), &big) {
			t.Fatalf("B6: %v is a %T", err, err)
		}
		if big.RejectedLength() != length || big.MaximumLength() != limit {
			t.Errorf("B6: the lengths are %d and %d, want %d and %d", big.RejectedLength(), big.MaximumLength(), length, limit)
		}
		want := status.Newf(codes.ResourceExhausted, "message length %d exceed maximum message size of %d", length, limit)
		if status.Code(big.Unwrap()) != want.Code() || status.Convert(big.Unwrap()).Message() != want.Message() {
			t.Errorf("B6: it unwraps to %v, want %v", big.Unwrap(), want)
		}
		if st, ok := status.FromError(err); !ok || st.Code() != want.Code() {
			t.Errorf("B6: status.FromError returns %v, %v; want the code %v", st, ok, want.Code())
		}
		if err.Error() != want.Err().Error() {
			t.Errorf("B6: the text is %q, want %q", err, want.Err())
		}
	}
	checkOversized(err, messageLengthMax+1, 4194304)
	checkOversized(oversized(11, 10), 11, 10)
}

func TestConnError(t *testing.T) {
	err := error(&connError{"noise"})
	if !errors.Is(err, ErrProtocol) || err.Error() != "ttrpc: noise" {
		t.Errorf("B7: what ends a connection is %q, ErrProtocol: %v", err, errors.Is(err, ErrProtocol))
	}
}
