// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// serve tells the server, on each connection, that this end serves, until stopped is closed.
func (c *ClientConn) serve(stopped <-chan struct{}) error {
	ctx, cancel := context.WithCancel(c.serving)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-stopped:
		case <-ctx.Done():
		}
	}()
	pause := minPause
	for {
		began := time.Now()
		err := c.announce(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case c.hasEnded():
			return ErrClientNotConnected
		case status.Code(err) != codes.Unavailable:
			return err // the server does not want this client
		case time.Since(began) > maxPause:
			pause = minPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	minPause = 10 * time.Millisecond
	maxPause = time.Second
)

// hasEnded tells whether the connection has ended and there will be no other.
func (c *ClientConn) hasEnded() bool {
	select {
	case <-c.ttrpc.Done():
		return true
	default:
		return false
	}
}

// announce tells the server once, and returns when that ends, as it does with the connection.
func (c *ClientConn) announce(ctx context.Context) error {
	if _, err := c.ttrpc.Extended(ctx); err != nil { // waits for a connection
		return err
	}
	if c.serveMetadata != nil {
		ctx = ttrpc.WithMetadata(ctx, ttrpc.MD(c.serveMetadata))
	}
	s, err := c.ttrpc.NewStream(ctx, bothWays, serviceName, serveMethod, nil)
	if err != nil {
		return err
	}
	if err = s.RecvMsg(new(ttrpc.RawMessage)); err == nil || err == io.EOF {
		return status.Error(codes.Unavailable, "brpc: the server has stopped, or is about to")
	}
	return err
}

// announced is the handler of Serve.
func (c *core) announced(ctx context.Context, _ ttrpc.StreamServer) (any, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := ttrpc.Detach(ctx)
	if err != nil {
		return nil, err
	}
	if c.pool != nil {
		if err := c.pool.enter(ctx, s, kept); err != nil {
			return nil, err
		}
	}
	return nil, s.keep(kept)
}
