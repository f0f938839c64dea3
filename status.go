// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"io"
	"os"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// marshalStatus encodes a status. In a genproto of early 2020, which containerd 1.6
// pins, a status has no reflection; protoadapt adds it, and returns others as they are.
func marshalStatus(st *spb.Status) ([]byte, error) {
	return proto.Marshal(protoadapt.MessageV2Of(st))
}

// unmarshalStatus decodes a status into st.
func unmarshalStatus(b []byte, st *spb.Status) error {
	return proto.Unmarshal(b, protoadapt.MessageV2Of(st))
}

// StatusOf returns the status that the caller gets of a handler's error, which must not be
// nil. An error that is a status, or wraps one, keeps its code and details. Of others the error
// itself counts, not what it wraps: those that have a code of their own are listed in the
// package's documentation, all else is Unknown, and so is a status that is OK. What is no
// UTF-8 in a message becomes U+FFFD. It is for interceptors that tell what happened (B9).
func StatusOf(err error) *status.Status {
	st, ok := status.FromError(err)
	if !ok || st.Code() == codes.OK { // an error is never success
		st = status.New(codeOf(err), err.Error())
	}
	if utf8.ValidString(st.Message()) {
		return st
	}
	p := st.Proto()                       // a copy
	p.Message = string([]rune(p.Message)) // with U+FFFD for what is invalid
	return status.FromProto(p)
}

func codeOf(err error) codes.Code {
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
