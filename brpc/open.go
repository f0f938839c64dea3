// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// Either end has this service: Open opens a tunnel to the gRPC server of that end. At the
// server's end, Serve lasts as long as a client serves; see [Pool].
const (
	serviceName = "brpc.Tunnel"
	openMethod  = "Open"
	serveMethod = "Serve"
)

var bothWays = &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}

// errNotExtended is why no tunnel can be opened on a classic connection.
var errNotExtended = errors.New("brpc: the peer does not know the extended mode of ttrpc, or was not told to agree to it")

// openStream opens a tunnel's stream to the peer of a client, and waits for no answer. cancel
// ends it.
func openStream(ctx context.Context, client *ttrpc.Client) (ttrpc.ClientStream, context.CancelFunc, error) {
	life, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	s, err := client.NewStream(life, bothWays, serviceName, openMethod, nil)
	if err == nil {
		var extended bool
		if extended, err = client.Extended(life); err == nil && !extended {
			err = errNotExtended
		}
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return s, cancel, nil
}

// maxTunnels is how many tunnels of one connection its other end may have open. gRPC has one,
// and more only while calls in earlier ones end.
const maxTunnels = 128

// opened returns the handler of Open. remote tells which connection it was called on, and take
// gets the tunnel, or says why it does not want it.
func opened(remote func(context.Context) (*addr, error), take func(context.Context, *tunnel) error) ttrpc.Stream {
	return ttrpc.Stream{
		StreamingClient: true, StreamingServer: true,
		Handler: func(ctx context.Context, _ ttrpc.StreamServer) (any, error) {
			at, err := remote(ctx)
			if err != nil {
				return nil, err
			}
			if at.tunnels.Add(1) > maxTunnels {
				at.tunnels.Add(-1)
				return nil, status.Errorf(codes.ResourceExhausted, "brpc: the connection has %d tunnels, and no more are taken", maxTunnels)
			}
			s, err := ttrpc.Detach(ctx)
			if err != nil {
				at.tunnels.Add(-1)
				return nil, err
			}
			context.AfterFunc(s.Context(), func() { at.tunnels.Add(-1) })
			return nil, take(ctx, accepted(s, at))
		},
	}
}

// A listener hands out conns to a gRPC server.
type listener struct {
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	onClose func() // or nil
}

func newListener(onClose func()) *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{}), onClose: onClose}
}

var errStopped = status.Error(codes.Unavailable, "brpc: the gRPC server has stopped, or is about to")

// hand waits until the server takes the conn.
func (l *listener) hand(ctx context.Context, conn net.Conn) error {
	select {
	case l.conns <- conn:
		return nil
	case <-l.closed:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. A gRPC server calls it first of all when it is to stop.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		if l.onClose != nil {
			l.onClose()
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return listenerAddr{} }

type listenerAddr struct{}

func (listenerAddr) Network() string { return "brpc" }
func (listenerAddr) String() string  { return "brpc" }
