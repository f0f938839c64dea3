// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package users holds tests of code that uses ttrpc and is not ours: it runs
// unchanged on this library.
//
//	mux             NRI's multiplexer as the connection below us
//	nri             NRI's packages for runtimes and for plugins
//	containerd      the generated services of containerd's API
//	containerd16    those of containerd 1.6 (a module of its own)
//	otel            the interceptors of otelttrpc
//	stubs           calls all methods of a service (a module of its own)
//
// Where two processes speak with each other the tests also build one of them against
// a release, with go's -modfile and the mod file in the directory released.
//
// What the module depends on:
//
//	containerd/containerd/api       the generated services
//	containerd/errdefs, errdefs/pkg containerd's errors, and their way through statuses
//	containerd/nri                  the multiplexer, runtimes and plugins
//	containerd/otelttrpc            the interceptors
//	containerd/typeurl/v2           packs what is in containerd's Anys
//	go.opentelemetry.io/otel        attributes, propagators; its sdk and trace: what
//	                                keeps spans for a test to look at
//	google.golang.org/grpc          the codes of errors
//	google.golang.org/protobuf      fills and compares messages
//
// To run the tests on a release at both ends:
//
//	go test -tags released -modfile=$PWD/released/v1.2.10.mod ./...
//
// There these fail, each by a rule for which this library is better: TestShutdown
// (B25), and in TestStubs the methods that stream (B17: the release sends no metadata
// with them). What would hang there is left out.
package users
