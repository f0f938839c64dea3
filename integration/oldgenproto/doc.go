// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oldgenproto tests the library with a genproto from before protobuf had
// reflection.
//
// containerd 1.6 replaces google.golang.org/genproto by its version of 2020-02-24. In
// that one a google.rpc.Status is a message of the old kind, and grpc and protobuf are
// old, too. Programs that pin such versions cannot use our go.mod, which asks for newer
// ones; they build a copy of the package without its requirements.
//
// The test does the same: it copies the package, and builds the program peer with the
// copy and the versions of pins.mod. That program must talk to itself, and to the one
// that is built as this module's go.mod says, in both directions.
package oldgenproto
