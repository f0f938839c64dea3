// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package kit

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/memconn"
)

// EachMode runs a test with a server and its client in memory, in a bubble: on a classic
// connection, and on one in extended mode.
func EachMode(t *testing.T, test func(*testing.T, *ttrpc.Server, *ttrpc.Client)) {
	for name, mode := range map[string]struct {
		server []ttrpc.ServerOpt
		client []ttrpc.ClientOpts
	}{
		"classic":  {},
		"extended": {[]ttrpc.ServerOpt{ttrpc.WithServerExtensions()}, []ttrpc.ClientOpts{ttrpc.WithExtensions()}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client, end := Connect(t, mode.server, mode.client)
				defer end()
				test(t, server, client)
			})
		})
	}
}

// Connect returns a server and its client in memory. end, which must be called, ends both.
func Connect(t testing.TB, server []ttrpc.ServerOpt, client []ttrpc.ClientOpts) (_ *ttrpc.Server, _ *ttrpc.Client, end func()) {
	t.Helper()
	s, err := ttrpc.NewServer(server...)
	if err != nil {
		t.Fatal(err)
	}
	near, far := memconn.Pipe(0)
	served := make(chan error, 1)
	go func() { served <- s.ServeConn(context.Background(), far) }()
	c := ttrpc.NewClient(near, client...)
	return s, c, func() {
		c.Close()
		s.Close()
		<-served
	}
}
