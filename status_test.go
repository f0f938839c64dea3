// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// statusSent returns the status that a caller gets for a handler's error: what
// stands in the frame that answers.
func statusSent(t *testing.T, err error) *status.Status {
	t.Helper()
	f := responseFrame(1, StatusOf(err).Proto())
	defer f.release()
	st, payload, perr := parseResponse(f.data[messageHeaderLength:])
	if perr != nil || len(payload) != 0 {
		t.Fatalf("the response to %v does not parse: %v, %x", err, perr, payload)
	}
	return status.FromProto(st)
}

func TestStatusOfErrors(t *testing.T) {
	for err, want := range map[error]codes.Code{
		io.EOF:                   codes.OutOfRange,
		io.ErrClosedPipe:         codes.FailedPrecondition,
		io.ErrNoProgress:         codes.FailedPrecondition,
		io.ErrShortBuffer:        codes.FailedPrecondition,
		io.ErrShortWrite:         codes.FailedPrecondition,
		io.ErrUnexpectedEOF:      codes.FailedPrecondition,
		os.ErrInvalid:            codes.InvalidArgument,
		context.Canceled:         codes.Canceled,
		context.DeadlineExceeded: codes.DeadlineExceeded,
		os.ErrExist:              codes.AlreadyExists,
		os.ErrNotExist:           codes.NotFound,
		os.ErrPermission:         codes.PermissionDenied,
		syscall.EEXIST:           codes.AlreadyExists,
		syscall.ENOTEMPTY:        codes.AlreadyExists,
		syscall.ENOENT:           codes.NotFound,
		syscall.EPERM:            codes.PermissionDenied,
		syscall.EACCES:           codes.PermissionDenied,
		ErrStreamFull:            codes.Unknown,
		ErrClosed:                codes.Unknown,
		errors.New("plain"):      codes.Unknown,
		syscall.EINVAL:           codes.Unknown,
		// os.IsExist and its like look into these three.
		&fs.PathError{Op: "open", Path: "p", Err: syscall.ENOENT}:       codes.NotFound,
		&os.LinkError{Op: "link", Old: "o", New: "n", Err: os.ErrExist}: codes.AlreadyExists,
		os.NewSyscallError("open", syscall.EACCES):                      codes.PermissionDenied,
	} {
		if st := statusSent(t, err); st.Code() != want || st.Message() != err.Error() {
			t.Errorf("B9: %v becomes %v, want the code %v and its text", err, st, want)
		}
		wrapped := fmt.Errorf("outer: %w", err)
		if st := statusSent(t, wrapped); st.Code() != codes.Unknown || st.Message() != wrapped.Error() {
			t.Errorf("B9: the wrapped %v becomes %v, want Unknown and the whole text", err, st)
		}
	}
}

func TestStatusOfStatus(t *testing.T) {
	st, err := status.New(codes.Aborted, "message").WithDetails(wrapperspb.String("detail"), wrapperspb.Int64(7))
	if err != nil {
		t.Fatal(err)
	}
	if got := statusSent(t, st.Err()); !proto.Equal(got.Proto(), st.Proto()) {
		t.Errorf("B9: %v becomes %v, want it unchanged, details included", st.Proto(), got.Proto())
	}
	wrapped := fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", st.Err()))
	want := st.Proto()
	want.Message = wrapped.Error()
	if got := statusSent(t, wrapped); !proto.Equal(got.Proto(), want) {
		t.Errorf("B9: wrapped it becomes %v, want %v", got.Proto(), want)
	}
	custom := status.Error(codes.Code(4242), "of the program's own")
	if got := statusSent(t, custom); !proto.Equal(got.Proto(), status.Convert(custom).Proto()) {
		t.Errorf("B9: %v becomes %v", custom, got)
	}
}

// TestStatusOfNamedClosed checks that text does not make an error special.
func TestStatusOfNamedClosed(t *testing.T) {
	got := statusSent(t, errors.New("ttrpc: closed"))
	if got.Code() != codes.Unknown || got.Message() != "ttrpc: closed" || got.Err() == ErrClosed {
		t.Errorf("B3: an error with ErrClosed's text becomes %v", got)
	}
}

// An okError claims to be success.
type okError struct{ error }

func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

// TestStatusOfSuccess checks that no error reaches the caller as success.
func TestStatusOfSuccess(t *testing.T) {
	err := okError{errors.New("failed")}
	if got := statusSent(t, err); got.Code() != codes.Unknown || got.Message() != "failed" {
		t.Errorf("B9: it becomes %v, want Unknown", got)
	}
}

func TestStatusOfOversized(t *testing.T) {
	err := OversizedMessageError(messageLengthMax + 1)
	if got := statusSent(t, err); got.Code() != codes.ResourceExhausted || got.Message() != err.Error() {
		t.Errorf("B6, B9: it becomes %v, want ResourceExhausted and the whole text", got)
	}
	wrapped := fmt.Errorf("outer: %w", err)
	if got := statusSent(t, wrapped); got.Code() != codes.ResourceExhausted || got.Message() != wrapped.Error() {
		t.Errorf("B6, B9: wrapped it becomes %v, want ResourceExhausted and %q", got, wrapped)
	}
}

// TestStatusNotUTF8 checks that bytes which protobuf refuses as text do not
// cost the caller the code.
func TestStatusNotUTF8(t *testing.T) {
	detail, err := status.New(codes.NotFound, "bad \xff\xfe path").WithDetails(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		detail.Err(),
		&fs.PathError{Op: "open", Path: "bad \xff\xfe path", Err: syscall.ENOENT},
	} {
		before := err.Error()
		got := statusSent(t, err)
		if want := "bad \uFFFD\uFFFD path"; got.Code() != codes.NotFound || !strings.Contains(got.Message(), want) {
			t.Errorf("B9: %q becomes %v, want NotFound and %q", err, got, want)
		}
		if err.Error() != before {
			t.Errorf("B9: the handler's error was changed to %q", err)
		}
	}
	if got := statusSent(t, detail.Err()); len(got.Details()) != 1 {
		t.Errorf("B9: the details are %v, want one", got.Details())
	}
	broken := &spb.Status{Code: int32(codes.NotFound), Details: nil, Message: "\xff"}
	f := responseFrame(1, broken) // StatusOf would have mended it
	defer f.release()
	st, _, err := parseResponse(f.data[messageHeaderLength:])
	if err != nil || codes.Code(st.GetCode()) != codes.Internal {
		t.Errorf("a status that cannot be encoded is sent as %v, %v; want Internal", st, err)
	}
}
