// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gentest tests the code generator protoc-gen-gogottrpc.
//
// The files in proto are its input, the packages below golden its output. The tests here
// generate anew and compare; those of the package use compile against what is there and
// call services through it. To write the packages below golden instead of comparing:
//
//	go generate .
//
// That and the tests need protoc, which is in packages called protobuf-compiler.
//
// This is a module of its own because generated code needs ttrpc, here the one of this
// repository: a go.mod that says so with a replace line would keep the command from
// being installed by its path and version.
package gentest

//go:generate go test . -count=1 -run=^TestGolden$ -update
