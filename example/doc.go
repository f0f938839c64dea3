// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package example is the generated code of a small service, greenhouse.proto.
// The directory cmd has a server and a client of it, to run and to read:
//
//	go run ./example/cmd
package example
