// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ways makes the ways by which a stub of gRPC reaches a service of gRPC.
package ways

import (
	"crypto/tls"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// A Way is how calls get from a stub to a service.
type Way struct {
	Name string

	// Classic tells that classic ttrpc is in between, which has no headers, no trailers and
	// no cancellation.
	Classic bool

	// Reflects tells that the way itself registers reflection, as it is used by a bridge.
	Reflects bool

	// TLS is the same way with TLS, nil if it has none.
	TLS *Way

	// Open makes both ends, which are gone at the end of the test.
	Open func(t testing.TB, s Setup) *Path
}

// A Setup says what both ends are made with. Fields that are zero have their default.
type Setup struct {
	Register func(grpc.ServiceRegistrar)

	// MessageSize is what the server takes and sends; what the client takes and sends is for
	// call options.
	MessageSize int

	// BetweenSize is what a bridge between the ends takes.
	BetweenSize int

	// HeaderSize is the most that metadata may have that the server receives.
	HeaderSize int

	// Recover has the panics of handlers answered.
	Recover bool

	// Refused has nobody listen, from the beginning.
	Refused bool

	// Idle has clients that can become idle do so after that long.
	Idle time.Duration

	// Slow has what is between the ends pass through a relay, which Stall stops.
	Slow bool

	// For the ways that have TLS: ServerTLS is the server's in place of one that the client
	// trusts, Demand has the server ask for the client's certificate, which has none, and
	// Protocol is the only one that the server speaks.
	ServerTLS *tls.Config
	Demand    bool
	Protocol  string
}

// A Path is a way that was made.
type Path struct {
	// CC is what stubs are made of.
	CC grpc.ClientConnInterface

	// Kill cuts the server off at once, as if its process had ended: its connections are
	// closed, and it takes no more.
	Kill func()

	// Stop stops the server gracefully, and returns when that is done.
	Stop func()

	// Between is nil if there is no bridge.
	Between *Between

	// Rest waits until the client has become idle, where Setup.Idle has it do so.
	Rest func()

	// Stall stops what is between the ends until resume is called: nothing is lost if
	// it is a stream, and all is if it is packets.
	Stall func() (resume func())
}

// Between is the server side of a bridge that is between the ends.
type Between struct{ Kill, Stop func() }

// All returns all ways.
func All() []Way {
	return []Way{
		GRPC, GRPCWithTLS, InProcess,
		TTRPC, TTRPCWithTLS, TTRPCPeer, TTRPCPeerWithTLS, TTRPCClassic,
		BRPC, BRPCPeer, BRPCOverQUIC, BRPCPeerOverQUIC,
		ToTTRPC, ToGRPC,
	}
}
