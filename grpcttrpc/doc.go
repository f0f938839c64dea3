// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package grpcttrpc runs gRPC's generated code over ttrpc connections.
//
// NewClientConn makes of a ttrpc.Client what the constructors take that protoc-gen-go-grpc
// generates; NewRegistrar makes of a ttrpc.Server what its Register functions take. On the
// wire it is ttrpc: a gRPC stub calls a service that was written for ttrpc, and a ttrpc stub
// one that was written for gRPC.
package grpcttrpc
