// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build status

package main

import (
	"google.golang.org/genproto/googleapis/rpc/status"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func init() {
	errorOf = func(b []byte) error {
		s := new(status.Status)
		if err := proto.Unmarshal(b, s); err != nil {
			return err
		}
		return grpcstatus.ErrorProto(s)
	}
}
