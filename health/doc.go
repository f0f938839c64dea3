// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health tells and asks whether a server, and each of its services, serves.
//
//	states := health.New()
//	states.Register(server)
//	states.Set("package.Service", health.Serving)
//
// It is served as grpc.health.v1.Health, with the messages and rules of gRPC, so that the
// command ttrpc understands it, and grpc_health_probe and its like through ttrpc-bridge. [Check],
// [List] and [Watch] ask a server.
//
// A program that links gRPC's own package for health may link this one, too.
package health
