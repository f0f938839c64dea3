// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"sync"
)

// GracefulStop is Shutdown with ServerConfig.Grace as its bound.
func (s *Server[C]) GracefulStop() {
	ctx, cancel := context.WithTimeout(context.Background(), s.core.grace)
	defer cancel()
	_ = s.Shutdown(ctx) // what is left when the time is up it ends
}

// Shutdown stops the server in order. It accepts no more connections, tells clients to make no
// more calls, and lets those that run finish, whose handlers may still call back; then it lets
// the calls finish that the server has made to clients, and says goodbye. If ctx ends first it
// ends what is left, and returns ctx.Err(). No call to a client can be made after it.
//
// To stop the grpc.Server does the same, with ServerConfig.Grace for what follows its calls.
func (s *Server[C]) Shutdown(ctx context.Context) error { return s.core.shutdown(ctx) }

// Stop ends the server, and all connections and calls, at once.
func (s *Server[C]) Stop() { s.core.stop() }

func (c *core) shutdown(ctx context.Context) error {
	c.closeListeners()
	defer context.AfterFunc(ctx, c.stop)()
	c.grpc.GracefulStop()
	if c.start() == nil {
		<-c.served
	}
	return ctx.Err()
}

func (c *core) stop() {
	c.closeListeners()
	c.setOneWay()
	if c.ttrpc != nil {
		c.ttrpc.Close()
	}
	c.grpc.Stop()
}

// finish ends the connections of a server whose gRPC server has stopped.
func (c *core) finish() {
	c.tunnels.Close() // it is, unless the server had been stopped before
	ctx, cancel := context.WithTimeout(context.Background(), c.grace)
	defer cancel()
	var draining sync.WaitGroup
	for _, s := range c.setOneWay() {
		draining.Go(func() { s.drain(ctx) })
	}
	draining.Wait()
	if c.ttrpc.Shutdown(ctx) != nil {
		c.ttrpc.Close()
	}
}

// closeListeners accepts no more connections.
func (c *core) closeListeners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for l := range c.listeners {
		l.Close()
	}
}

// setOneWay has no more calls begin to clients, and returns these.
func (c *core) setOneWay() (sessions []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oneWay = true
	for s := range c.sessions {
		s.setOneWay()
		sessions = append(sessions, s)
	}
	return sessions
}
