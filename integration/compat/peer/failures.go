// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failures are what handlers return beside identities, by the name under which a
// client asks for them.
var failures = map[string]error{
	"plain":   errors.New("something went wrong"),
	"empty":   errors.New(""),
	"unicode": errors.New("schlüssel 鍵"),

	"status":                 status.Error(codes.NotFound, "no such container"),
	"status with details":    withDetails(),
	"status OK":              status.New(codes.OK, "fine").Err(),
	"status of unknown code": status.Error(codes.Code(99), "ninety-nine"),
	"status called closed":   status.Error(codes.Unknown, "ttrpc: closed"),
	"wrapped status":         fmt.Errorf("while looking: %w", status.Error(codes.NotFound, "no such container")),
	"wrapped with details":   fmt.Errorf("while looking: %w", withDetails()),
	"joined status":          errors.Join(errors.New("first"), status.Error(codes.Aborted, "second")),
	"wrapped canceled":       fmt.Errorf("stopped: %w", context.Canceled),
	"wrapped deadline":       fmt.Errorf("stopped: %w", context.DeadlineExceeded),

	"os.ErrInvalid":          os.ErrInvalid,
	"os.ErrExist":            os.ErrExist,
	"os.ErrNotExist":         os.ErrNotExist,
	"os.ErrPermission":       os.ErrPermission,
	"os.ErrClosed":           os.ErrClosed,
	"os.ErrDeadlineExceeded": os.ErrDeadlineExceeded,
	"path error":             &fs.PathError{Op: "open", Path: "/nowhere", Err: syscall.ENOENT},
	"EEXIST":                 syscall.EEXIST,
	"EACCES":                 syscall.EACCES,
	"EINVAL":                 syscall.EINVAL,
	"wrapped not exist":      fmt.Errorf("looking: %w", os.ErrNotExist),

	"io.ErrClosedPipe":    io.ErrClosedPipe,
	"io.ErrNoProgress":    io.ErrNoProgress,
	"io.ErrShortBuffer":   io.ErrShortBuffer,
	"io.ErrShortWrite":    io.ErrShortWrite,
	"io.ErrUnexpectedEOF": io.ErrUnexpectedEOF,
	"wrapped EOF":         fmt.Errorf("reading: %w", io.EOF),
}

// failure returns one of the failures, or an error that callers compare with.
func failure(name string) error {
	for _, id := range identities {
		if id.name == name {
			return id.err
		}
	}
	return failures[name]
}
