// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ttrpcotel traces and measures ttrpc's calls and streams with OpenTelemetry.
//
// One option for each end does all:
//
//	server, err := ttrpc.NewServer(ttrpcotel.ServerOption())
//	client := ttrpc.NewClient(conn, ttrpcotel.ClientOption()) // Dial takes it, too
//
// They use the providers and the propagator that the program has set with package otel, or
// those of [WithTracerProvider], [WithMeterProvider] and [WithPropagators]. The four
// interceptors are the spans alone, for chains of one's own, and [Trace] the metrics alone.
//
// # Spans
//
// A span is called "package.Service/Method", after the conventions of 2026 for RPC, and has
// rpc.system.name ("ttrpc"), rpc.method, rpc.status_code (as text, "NOT_FOUND"), error.type
// if the call has failed, server.address and server.port, network.transport,
// network.peer.address and network.peer.port. A client's span is an error whatever status
// the call ends with but OK. A server's is one for UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
// INTERNAL, UNAVAILABLE and DATA_LOSS; others are the caller's own fault.
//
// A client's span begins before the call is sent and ends with it. That of a stream ends when
// RecvMsg or SendMsg tells that the stream has ended, when the answer of a server that does
// not stream was received, or when the context ends: as with gRPC, receive until there is an error, or
// cancel. That of a stream that is left ends once the stream is garbage, with UNKNOWN.
// A server's span is what the handler takes, and does not outlive it if the
// stream was detached.
//
// # Metrics
//
// rpc.client.call.duration and rpc.server.call.duration are histograms in seconds with
// rpc.system.name, rpc.method, rpc.status_code and error.type. A server's come from a
// [ttrpc.Trace], which sees calls of unknown methods, too. A client's calls are measured by
// interceptors, which see those, too, for which there is no connection, and what Dial's client
// repeats as one; its streams by a Trace, which sees how they end that nobody receives from.
// [Trace] alone sees of a client what gets to a connection, and each attempt.
//
// # Peers
//
// No peer makes up names. A method that the server has not is "_OTHER" in spans and metrics,
// and what the peer has called it is in the span's rpc.method_original. A code that gRPC does
// not have is UNKNOWN. A client's methods are "_OTHER", too, beyond the first thousand.
package ttrpcotel
