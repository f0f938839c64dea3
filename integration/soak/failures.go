// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A failure is an error of a handler, with what the caller has to get.
type failure struct {
	err  error
	want *status.Status
}

// failures are numbered from 1 in orders.
var failures = []failure{
	{},
	{errors.New("plain"), status.New(codes.Unknown, "plain")},
	{detailed, status.Convert(detailed)},
	{fmt.Errorf("wrapped: %w", detailed), withMessage(detailed, "wrapped: "+detailed.Error())},
	{status.Error(codes.NotFound, "nothing"), status.New(codes.NotFound, "nothing")},
	{io.ErrUnexpectedEOF, status.New(codes.FailedPrecondition, "unexpected EOF")},
}

var detailed = func() error {
	list := structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
		structpb.NewStringValue("text"), structpb.NewNumberValue(1.5), structpb.NewNullValue(),
	}})
	st, err := status.New(codes.FailedPrecondition, "with details").WithDetails(wrapperspb.Int64(42), list)
	if err != nil {
		panic(err)
	}
	return st.Err()
}()

func withMessage(err error, message string) *status.Status {
	p := status.Convert(err).Proto()
	p.Message = message
	return status.FromProto(p)
}

// is tells whether err is what the caller has to get, details included.
func (f *failure) is(err error) bool {
	got, ok := status.FromError(err)
	return ok && proto.Equal(got.Proto(), f.want.Proto())
}
