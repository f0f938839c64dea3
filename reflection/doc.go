// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reflection tells what a server serves: names, methods and messages of its services,
// as gRPC's reflection does. Tools need no .proto files then.
//
//	reflection.Register(server)
//
// It is served as grpc.reflection.v1.ServerReflection, and as v1alpha, so that the command
// ttrpc understands it, and grpcurl and its like through ttrpc-bridge. Descriptions are
// those that are linked into the program; [WithFiles] adds others. Nothing else of a program
// is told, but whoever may call the server learns what it can be asked.
//
// A [Client] asks a server, of ttrpc or of gRPC.
//
// A program that links gRPC's own packages for reflection may link this one, too.
package reflection
