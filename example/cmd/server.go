// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example"
)

// drainLimit is how long calls in flight may take once the server is to end.
const drainLimit = 10 * time.Second

// newServer returns a server with the greenhouse, and a listener for it.
func newServer(address string, out io.Writer) (*ttrpc.Server, net.Listener, error) {
	credentials, who := checkCredentials()
	log := callLog{out}
	server, err := ttrpc.NewServer(append(credentials,
		ttrpc.WithUnaryServerInterceptor(log.unary),
		ttrpc.WithChainStreamServerInterceptor(log.stream))...)
	if err != nil {
		return nil, nil, err
	}
	example.RegisterGreenhouseService(server, &greenhouse{map[string]float64{
		"orchids":  24,
		"tomatoes": 21.5,
	}})
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(out, "server: listening on %s, for %s\n", address, who)
	return server, l, nil
}

// serve answers calls until it is interrupted and those in flight have
// finished.
func serve(server *ttrpc.Server, l net.Listener, out io.Writer, signals <-chan os.Signal) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	select {
	case err := <-served:
		return err
	case <-signals:
	}
	fmt.Fprintf(out, "server: draining, calls in flight have %v; interrupt again to end them now\n", drainLimit)
	if err := drain(server, signals); err != nil {
		return err
	}
	fmt.Fprintln(out, "server: drained")
	return nil
}

// drain shuts the server down, and closes it if the limit passes or another
// signal comes first.
func drain(server *ttrpc.Server, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	cancelOn(signals, ctx, cancel)
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return fmt.Errorf("calls in flight were ended: %w", err)
	}
	return nil
}

// cancelOn calls cancel at the next signal, if one comes before ctx ends.
func cancelOn(signals <-chan os.Signal, ctx context.Context, cancel func()) {
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
}

// A callLog prints the calls of those who say who they are, before they run:
// an interceptor runs around the handler and can see, change or refuse what
// comes and goes.
type callLog struct{ out io.Writer }

func (l callLog) print(ctx context.Context, method string) {
	if caller, ok := ttrpc.GetMetadataValue(ctx, "caller"); ok {
		fmt.Fprintf(l.out, "  server: %s called by %s%s\n", method, caller, describePeer(ctx))
	}
}

func (l callLog) unary(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	l.print(ctx, info.FullMethod)
	return method(ctx, unmarshal)
}

func (l callLog) stream(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
	l.print(ctx, info.FullMethod)
	return handler(ctx, stream)
}
