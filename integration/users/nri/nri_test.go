// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nri tests NRI's own packages for runtimes and for plugins on this library,
// and on a release at the other end.
package nri

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/ttrpc/integration/users/internal/peers"
	"github.com/containerd/ttrpc/integration/users/nri/script"
)

// peer is the path of the other end, built against the release.
var peer string

func TestMain(m *testing.M) {
	script.Quiet(log.Printf)
	os.Exit(peers.Main(func(path string) int {
		peer = path
		return runAll(m)
	}))
}

// newSocket returns a path for a socket: that of a test's own directory may be too
// long for one.
func newSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// runtime runs a runtime here, with a plugin that runs elsewhere.
func runtime(t *testing.T, runPlugin func(ctx context.Context, socket string) error) {
	t.Helper()
	socket := newSocket(t)
	r, err := script.NewRuntime(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone, plugin := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(gone)
		plugin <- runPlugin(ctx, socket)
	}()
	if err := r.Run(ctx, gone); err != nil {
		t.Errorf("runtime: %v", err)
		cancel()
	}
	if err := <-plugin; err != nil {
		t.Errorf("plugin: %v", err)
	}
}

func TestOurselves(t *testing.T) {
	runtime(t, script.Plugin)
}

func TestReleaseIsPlugin(t *testing.T) {
	runtime(t, func(_ context.Context, socket string) error {
		process, err := peers.Start(peer, nil, "plugin", socket)
		if err != nil {
			return err
		}
		return process.Wait()
	})
}

func TestReleaseIsRuntime(t *testing.T) {
	socket := newSocket(t)
	process, err := peers.Start(peer, nil, "runtime", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.AwaitLine(); err != nil {
		t.Error(err)
	} else if err := script.Plugin(context.Background(), socket); err != nil {
		t.Errorf("plugin: %v", err)
	}
	if err := process.Wait(); err != nil {
		t.Error(err)
	}
}
