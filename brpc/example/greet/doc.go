// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package greet has the services of the example of brpc.
package greet

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative greet.proto"
