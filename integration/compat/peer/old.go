// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build v1.0 || v1.1

package main

import (
	"github.com/gogo/protobuf/proto"
	"github.com/gogo/protobuf/types"
	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// These releases take messages of gogo/protobuf, which are the same on the wire.
type (
	textValue  = types.StringValue
	bytesValue = types.BytesValue
	intValue   = types.Int64Value
	empty      = types.Empty
	message    = proto.Message
)

func marshal(m message) ([]byte, error) { return proto.Marshal(m) }

func unmarshal(b []byte, m message) error { return proto.Unmarshal(b, m) }

func withDetails() error {
	st, err := status.New(codes.FailedPrecondition, "it is running").WithDetails(
		&wrappers.StringValue{Value: "pid"}, &wrappers.Int64Value{Value: 42})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// They have no streams.

func (s *server) register() { s.ttrpc.Register(serviceName, s.methods()) }

var (
	streamErrors    []identity
	streamScenarios []scenario
	anyServer       []scenario
)

var streamStages []stage
