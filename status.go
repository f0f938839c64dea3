// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/containerd/ttrpc/internal/errcode"
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

// statusOf maps an error of a handler to the status that the caller gets (B9).
// An error that is or wraps a status keeps its code and details. For others
// the error itself counts, not what it wraps: callers rely on wrapped ones
// being Unknown.
func statusOf(err error) *status.Status {
	st, ok := status.FromError(err)
	if !ok || st.Code() == codes.OK { // an error is never success
		st = status.New(errcode.Of(err), err.Error())
	}
	if utf8.ValidString(st.Message()) {
		return st
	}
	p := st.Proto()                       // a copy
	p.Message = string([]rune(p.Message)) // with U+FFFD for what is invalid
	return status.FromProto(p)
}
