// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package brpc makes gRPC calls in both directions of one connection, with the stubs that
// protoc-gen-go-grpc generates, an unmodified grpc.Server and grpc.ClientConn, and all that
// these can do.
package brpc
