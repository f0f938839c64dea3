// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bridge passes calls between gRPC and ttrpc, in either direction, without knowing
// the services: messages pass in their encoding, as they are.
//
// A [ToTTRPC] is a gRPC server in front of a ttrpc client: programs in any language, and tools
// such as grpcurl, reach a service on a ttrpc socket. A [ToGRPC] is a handler of a ttrpc server
// in front of a gRPC client: programs that speak ttrpc to a socket reach whatever a
// gRPC target names, several hosts behind one name among others.
//
// # Kinds
//
// On ttrpc's wire nothing tells which sides of a method stream, and there are servers that
// crash, or wait for ever, if they are called in the wrong way. So a bridge does not guess: it
// has to know the [Kind] of each method, by the reflection of a server ([ReflectTTRPC],
// [ReflectGRPC]), by compiled descriptions ([NewDescriptors]) or because it was told ([Table]).
// A call of a method that none of these know is refused with code Unimplemented, and a text
// that says what to do.
//
// # What passes
//
// All four kinds of calls, metadata, deadlines, cancellation, half-closes, statuses with their
// details, and headers and trailers. To or from a classic ttrpc connection, one that is not in
// extended mode, neither headers nor trailers pass, for it cannot carry any; and a call that is
// given up goes on at a classic server.
package bridge
