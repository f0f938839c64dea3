// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package files is the generated code of files.proto, a service that runs commands
// which write into open files of the caller's. The directory cmd has a server and a
// client of it, to run and to read, on Linux:
//
//	go run ./example/files/cmd
package files
