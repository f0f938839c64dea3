// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gentest tests the code generator protoc-gen-go-ttrpc.
//
// The files in proto are their input, the packages below golden their output. The
// tests here generate anew and compare; those of the package use compile against
// what is there and call services through it. To write the packages below golden
// instead of comparing:
//
//	go generate .
//
// That and the tests need protoc, which is in packages called protobuf-compiler. It
// need not know protobuf editions: files of those do not go through it. All plugins
// are built from this module's requirements, none is taken from PATH.
//
// This is a module of its own because the library does not need the compiler of
// protocol buffers that the tests use for editions.
package gentest

//go:generate go test . -count=1 -run=^TestGolden$ -update
