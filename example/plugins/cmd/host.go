// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/plugins"
)

// adjustLimit is how long one plugin may take for one container.
const adjustLimit = 5 * time.Second

// A host creates containers. It implements the generated plugins.HostService.
type host struct {
	log      *log.Logger
	settings map[string]string

	mu      sync.Mutex
	plugins map[string]*ttrpc.Client // by name
}

// Register keeps the client of the connection on which the plugin has called. It is the
// same client for all calls of a connection, and lasts as long as that.
func (h *host) Register(ctx context.Context, r *plugins.Registration) (*emptypb.Empty, error) {
	if r.Name == "" {
		return nil, status.Error(codes.InvalidArgument, "a plugin needs a name")
	}
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	if ok, err := client.Extended(ctx); !ok {
		return nil, status.Errorf(codes.FailedPrecondition, "a plugin needs the extended mode: %v", cmp.Or(err, ttrpc.ErrPeerClassic))
	}
	h.mu.Lock()
	known := h.plugins[r.Name] == client
	h.plugins[r.Name] = client
	h.mu.Unlock()
	if !known {
		h.log.Printf("%s is registered", r.Name)
		go h.forget(r.Name, client)
	}
	return &emptypb.Empty{}, nil
}

// forget waits until the connection of a plugin is about to end.
func (h *host) forget(name string, client *ttrpc.Client) {
	<-client.Draining()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plugins[name] == client { // else it has come back on another connection
		delete(h.plugins, name)
		h.log.Printf("%s has gone", name)
	}
}

// Setting is what plugins call while the host calls them.
func (h *host) Setting(_ context.Context, key *plugins.Key) (*plugins.Value, error) {
	value, ok := h.settings[key.Name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no setting %q", key.Name)
	}
	return &plugins.Value{Value: value}, nil
}

// Create asks the plugins in the order of their names. One that goes meanwhile is left
// out; the error of one that stays is the answer.
func (h *host) Create(ctx context.Context, c *plugins.Container) (*plugins.Container, error) {
	h.mu.Lock()
	registered := maps.Clone(h.plugins)
	h.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(registered)) {
		adjusted, err := adjust(ctx, registered[name], c)
		switch {
		case errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, ttrpc.ErrNotExecuted):
			h.log.Printf("%s is without %s, which has gone", c.Name, name)
		case err != nil:
			return nil, status.Errorf(status.Code(err), "plugin %s: %v", name, err)
		default:
			c.Env = append(c.Env, adjusted.Env...)
		}
	}
	return c, nil
}

// adjust asks one plugin. When the time is over the plugin's handler is told.
func adjust(ctx context.Context, client *ttrpc.Client, c *plugins.Container) (*plugins.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, adjustLimit)
	defer cancel()
	return plugins.NewPluginClient(client).Adjust(ctx, c)
}

// runHost serves until ctx ends.
func runHost(ctx context.Context, address string, log *log.Logger) error {
	server, err := ttrpc.NewServer(
		ttrpc.WithServerExtensions(), // or the host could call nobody
		ttrpc.WithServerKeepalive(ttrpc.Keepalive{Interval: 10 * time.Second, Timeout: 5 * time.Second})) // notices plugins that are stopped
	if err != nil {
		return err
	}
	plugins.RegisterHostService(server, &host{
		log:      log,
		settings: map[string]string{"zone": "north"},
		plugins:  make(map[string]*ttrpc.Client),
	})
	os.Remove(address) // a host that was killed leaves its socket behind
	l, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	log.Printf("listening on %s", address)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	// Calls that have begun finish, and all plugins are told.
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
		return fmt.Errorf("calls were given up: %w", err)
	}
	log.Print("stopped")
	return nil
}
