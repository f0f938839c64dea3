// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mux tests NRI's multiplexer as the connection under clients and servers,
// both ways at once.
package mux

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	nrinet "github.com/containerd/nri/pkg/net"
	"github.com/containerd/ttrpc/integration/users/internal/peers"
	"github.com/containerd/ttrpc/integration/users/mux/exchange"
)

// hang is far longer than anything here takes.
const hang = time.Minute

// peer is the path of the other end, built against the release.
var peer string

func TestMain(m *testing.M) {
	os.Exit(peers.Main(func(path string) int {
		peer = path
		return runAll(m)
	}))
}

// limited returns a context that ends only if the test hangs.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	t.Cleanup(cancel)
	return ctx
}

// within fails the test if something does not happen.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(hang):
		t.Fatalf("%s: it does not happen", what)
		panic("unreachable")
	}
}

func socketPair(t *testing.T) nrinet.SocketPair {
	t.Helper()
	pair, err := nrinet.NewSocketPair()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// join makes one end, which is closed when the test ends.
func join(t *testing.T, trunk net.Conn, side exchange.Side, opts exchange.Options) *exchange.End {
	t.Helper()
	end, err := exchange.Join(trunk, side, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end.Close(); err != nil {
			t.Error(err)
		}
	})
	return end
}

// both makes the two ends of a trunk: that of the runtime, and that of the plugin.
func both(t *testing.T, runtime, plugin exchange.Options) (*exchange.End, *exchange.End) {
	t.Helper()
	pair := socketPair(t)
	local, err := pair.LocalConn()
	if err != nil {
		t.Fatal(err)
	}
	remote, err := pair.PeerConn()
	if err != nil {
		t.Fatal(err)
	}
	return join(t, local, exchange.Runtime, runtime), join(t, remote, exchange.Plugin, plugin)
}

// withRelease makes one end of a trunk, whose other is of the release.
func withRelease(t *testing.T, side exchange.Side, opts exchange.Options) *exchange.End {
	t.Helper()
	pair := socketPair(t)
	local, err := pair.LocalConn()
	if err != nil {
		t.Fatal(err)
	}
	process, err := peers.Start(peer, []*os.File{pair.PeerFile()}, side.Other().Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Wait(); err != nil {
			t.Error(err)
		}
	})
	return join(t, local, side, opts)
}
