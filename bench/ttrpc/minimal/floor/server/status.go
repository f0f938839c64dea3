// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build status

package main

import (
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func init() {
	statusOf = func(err error) proto.Message { return status.Convert(err).Proto() }
}
