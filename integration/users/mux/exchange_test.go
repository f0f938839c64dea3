// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"net"
	"testing"

	"github.com/containerd/ttrpc/integration/users/mux/exchange"
	"google.golang.org/protobuf/types/known/emptypb"
)

// taps puts a tap around each of an end's connections.
func taps(t *testing.T) exchange.Options {
	return exchange.Options{Wrap: func(c net.Conn) net.Conn { return &tap{Conn: c, t: t} }}
}

// drive has an end call the other one in all ways, and be called so at the same time.
func drive(t *testing.T, end *exchange.End) {
	t.Helper()
	ctx := limited(t)
	back := make(chan error, 1)
	go func() { back <- callBack(ctx, end) }()
	if err := exchange.Drive(ctx, end.Client); err != nil {
		t.Errorf("from here: %v", err)
	}
	if err := <-back; err != nil {
		t.Errorf("from there: %v", err)
	}
}

func callBack(ctx context.Context, end *exchange.End) error {
	return end.Client.Call(ctx, exchange.Service, "Drive", new(emptypb.Empty), new(emptypb.Empty))
}

func TestOurselves(t *testing.T) {
	runtime, _ := both(t, taps(t), taps(t))
	drive(t, runtime)
}

func TestReleaseIsPlugin(t *testing.T) { drive(t, withRelease(t, exchange.Runtime, taps(t))) }

func TestReleaseIsRuntime(t *testing.T) { drive(t, withRelease(t, exchange.Plugin, taps(t))) }
