// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exchange is what the two ends of a trunk do that NRI's multiplexer
// splits: each serves on one logical connection and calls on the other, as NRI's
// runtime and its plugins do. It is built against this library and against releases,
// and therefore uses nothing that those lack.
package exchange

import (
	"context"
	"net"

	nrinet "github.com/containerd/nri/pkg/net"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
)

// A Side tells the two ends apart.
type Side struct {
	Name        string
	serve, call multiplex.ConnID
}

// The two sides, which serve on the connections that NRI has for them.
var (
	Runtime = Side{"runtime", multiplex.RuntimeServiceConn, multiplex.PluginServiceConn}
	Plugin  = Side{"plugin", multiplex.PluginServiceConn, multiplex.RuntimeServiceConn}
)

// Other returns the opposite side.
func (s Side) Other() Side {
	if s == Runtime {
		return Plugin
	}
	return Runtime
}

// Options are what a test may want to be different. All are optional.
type Options struct {
	Wrap     func(net.Conn) net.Conn // goes around the logical connections
	Listen   func(net.Conn) net.Listener
	Register func(*ttrpc.Server) // adds services
	OnClose  func()              // is called when the client's connection has ended
	Mux      []multiplex.Option
}

// An End is one end of a trunk.
type End struct {
	Mux    multiplex.Mux
	Client *ttrpc.Client
	Server *ttrpc.Server
	Served chan error // what Serve returns

	listener net.Listener
}

// Join makes one end of a trunk, in the order in which NRI does it.
func Join(trunk net.Conn, side Side, opts Options) (*End, error) {
	e := &End{Mux: multiplex.Multiplex(trunk, append(opts.Mux, multiplex.WithBlockedRead())...)}
	calls, err := e.Mux.Open(side.call)
	if err != nil {
		return nil, err
	}
	serves, err := e.Mux.Open(side.serve)
	if err != nil {
		return nil, err
	}
	if opts.Wrap != nil {
		calls, serves = opts.Wrap(calls), opts.Wrap(serves)
	}
	e.Client = ttrpc.NewClient(calls, ttrpc.WithOnClose(func() {
		if opts.OnClose != nil {
			opts.OnClose()
		}
	}))
	if e.Server, err = ttrpc.NewServer(); err != nil {
		return nil, err
	}
	e.register()
	if opts.Register != nil {
		opts.Register(e.Server)
	}
	e.listener = nrinet.NewConnListener(serves)
	if opts.Listen != nil {
		e.listener = opts.Listen(serves)
	}
	e.Served = make(chan error, 1)
	go func() { e.Served <- e.Server.Serve(context.Background(), e.listener) }()
	e.Mux.Unblock()
	return e, nil
}

// Close ends all that an end has, in the order in which NRI does it.
func (e *End) Close() error {
	e.Mux.Close()
	e.Client.Close()
	e.Server.Close()
	e.listener.Close()
	return e.Client.UserOnCloseWait(context.Background())
}
