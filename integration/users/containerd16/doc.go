// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package containerd16 tests the services of containerd 1.6, whose stubs and messages
// gogo/protobuf generated. It is a module of its own because its packages of messages
// have import paths that containerd's API has as a module of its own today.
//
// What it depends on:
//
//	containerd/containerd    the services of runtimes and of events, as they were
//	                         in v1.6, the last before containerd left gogo/protobuf
//	containerd/typeurl       packs what is in their messages' Anys
//	gogo/protobuf            compares their messages
//	google.golang.org/grpc   the codes of their errors
//
// Releases of ttrpc from v1.2.0 on take no messages of gogo/protobuf, and those
// before have no streams, which the module stubs needs: so these tests run on this
// library alone.
package containerd16
