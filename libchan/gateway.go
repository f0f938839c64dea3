// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Gateway dials for its peers, and hands out the raw connections. Whoever has the Sender of a
// channel that it serves may ask it, see [DialThrough].
type Gateway struct {
	// Allow says what may be dialled: nil, or an error that tells why not. It is given the network,
	// which is tcp, tcp4, tcp6 or unix, and the address as the peer has it, so that a name is not
	// resolved yet. Without an Allow nothing may be dialled.
	Allow func(network, addr string) error

	// Dial dials what is allowed. By default that is a net.Dialer's DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Timeout bounds how long it takes to dial, 30 s by default.
	Timeout time.Duration
}

// A dialRequest asks a gateway.
type dialRequest struct{ Network, Addr string }

// A dialled is what it answers.
type dialled struct{ Conn net.Conn }

// gatewayNetworks are those of byte streams.
var gatewayNetworks = []string{"tcp", "tcp4", "tcp6", "unix"}

// Serve answers those who ask by a channel, until that ends, which is success, or ctx does. It
// returns once nothing is being dialled; connections that were handed out go on.
func (g *Gateway) Serve(ctx context.Context, from Receiver) error {
	return Serve(ctx, from, g.dial)
}

func (g *Gateway) dial(ctx context.Context, req dialRequest) (dialled, error) {
	refused := func(code codes.Code, why error) (dialled, error) {
		return dialled{}, status.Errorf(code, "libchan: the gateway does not dial %s %q: %v", req.Network, req.Addr, why)
	}
	if !slices.Contains(gatewayNetworks, req.Network) {
		return refused(codes.InvalidArgument, fmt.Errorf("the network is none of %v", gatewayNetworks))
	}
	if g.Allow == nil {
		return refused(codes.PermissionDenied, errors.New("it allows nothing"))
	}
	if err := g.Allow(req.Network, req.Addr); err != nil {
		return refused(codes.PermissionDenied, err)
	}
	timeout := g.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := g.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, req.Network, req.Addr)
	if err != nil {
		return dialled{}, status.Errorf(codes.Unavailable, "libchan: the gateway: %v", err)
	}
	return dialled{&given{conn}}, nil
}

// DialThrough has a [Gateway] dial that serves the channel of to, and returns the connection: the
// very socket, where both sides are on one machine and pass files, else a byte stream with its
// addresses. The error is the gateway's, a status: PermissionDenied if that address is not
// allowed, Unavailable with the reason if it cannot be reached.
func DialThrough(ctx context.Context, to Sender, network, addr string) (net.Conn, error) {
	answer, err := Call[dialRequest, dialled](ctx, to, dialRequest{network, addr})
	if err == nil && answer.Conn == nil {
		err = errors.New("libchan: the gateway has answered without a connection")
	}
	if err != nil {
		return nil, err
	}
	return answer.Conn, nil
}
