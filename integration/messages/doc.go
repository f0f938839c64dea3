// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package messages tests calls with messages of every kind that the library takes,
// as their generators really write them.
//
// The messages are in the directory proto; each is compiled by several generators,
// which put their packages below gen:
//
//	open, opaque    protobuf's own, with its two interfaces
//	vt              vtprotobuf
//	gogofast        gogo/protobuf, with methods that encode and decode
//	gogoplain       gogo/protobuf, without them
//	golang          golang/protobuf, as it was before the second protobuf module
//	custom          gogo/protobuf, with times and other Go types in fields
//	required        protobuf's own, with the required fields of proto2
//
// To write them anew run
//
//	go generate ./...
//
// which needs protoc, from packages called protobuf-compiler. The generators are
// built from this module's requirements; golang.mod is for the one that go.mod has in
// a later version.
package messages

//go:generate go run ./generate
