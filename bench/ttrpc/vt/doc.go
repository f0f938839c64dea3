// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vt holds a message with the methods that vtprotobuf generates.
package vt

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-vtproto=$(go tool -n protoc-gen-go-vtproto) --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size message.proto"
