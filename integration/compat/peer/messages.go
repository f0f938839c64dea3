// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !v1.0 && !v1.1

package main

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type (
	textValue  = wrapperspb.StringValue
	bytesValue = wrapperspb.BytesValue
	intValue   = wrapperspb.Int64Value
	empty      = emptypb.Empty
	message    = proto.Message
)

func marshal(m message) ([]byte, error) { return proto.Marshal(m) }

func unmarshal(b []byte, m message) error { return proto.Unmarshal(b, m) }

func withDetails() error {
	st, err := status.New(codes.FailedPrecondition, "it is running").WithDetails(
		protoadapt.MessageV1Of(wrapperspb.String("pid")), protoadapt.MessageV1Of(wrapperspb.Int64(42)))
	if err != nil {
		panic(err)
	}
	return st.Err()
}
