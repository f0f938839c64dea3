// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package demo has the messages of testdata/proto/demo.proto.
package demo

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) -I ../../../testdata/proto --go_out=. --go_opt=paths=source_relative demo.proto"
