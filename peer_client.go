// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
)

// In extended mode either end makes calls. A handler's context leads to the client of
// the peer whose call it runs.

// errServesNothing is what calls to a peer get that answers none.
const errServesNothing = "ttrpc: the peer answers no calls"

// A connContext is what the contexts of a connection's handlers derive from.
type connContext struct {
	context.Context
	peer *Peer
	conn *conn
}

type connKey struct{}

// Value implements context.Context.
func (x *connContext) Value(key any) any {
	switch key.(type) {
	case peerKey:
		return x.peer
	case connKey:
		return x.conn
	}
	return x.Context.Value(key)
}

// PeerClient returns the client that makes calls to the peer whose call the context's
// handler runs, or whose connection the hook of [WithConnectionHook] was called for. It
// may be used until the connection ends, also after the handler has returned; it is the
// same one for all handlers of the connection. Its Close ends the connection.
//
// Its calls fail at once, with nothing sent, with [ErrPeerClassic] if the peer does not
// know the extended mode, and with a status of code Unimplemented if it answers no calls.
//
// The error says that ctx is not such a context.
func PeerClient(ctx context.Context) (*Client, error) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil, errors.New("ttrpc: the context is not that of a handler or a connection")
	}
	return c.client(), nil
}

// ClientFromContext returns what newClient, usually a generated constructor, makes of
// the client that [PeerClient] returns:
//
//	worker, err := ttrpc.ClientFromContext(ctx, pb.NewWorkerClient)
func ClientFromContext[C any](ctx context.Context, newClient func(*Client) C) (C, error) {
	client, err := PeerClient(ctx)
	if err != nil {
		var none C
		return none, err
	}
	return newClient(client), nil
}

// client returns who makes calls on the connection.
func (c *conn) client() *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.user == nil {
		c.user = c.hooks.newUser(c)
		if c.userTold { // too early
			close(c.user.config.closeDone)
		}
	}
	return c.user
}

// newPeerClient makes a client that makes calls to a peer which has dialled.
func (s *Server) newPeerClient(conn *conn) *Client {
	c := &Client{config: newClientConfig(), conn: conn}
	for _, opt := range s.config.peerOptions {
		opt(c)
	}
	c.config.extends = false // that is agreed
	c.config.finish()
	return c
}

// hook runs the function of WithConnectionHook for a connection.
func (s *Server) hook(c *conn) {
	ctx, end := context.WithCancelCause(c.base)
	c.ext.endHook = end
	go s.config.hook(ctx)
}

// Done returns a channel that is closed when the connection has ended, whoever ended
// it, and the function of WithOnClose has returned.
func (c *Client) Done() <-chan struct{} {
	if c.config == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return c.config.closeDone
}

// Extended waits until it is known what the peer can do, and tells whether the
// connection is in extended mode. It returns ctx.Err() if ctx ends first, and ErrClosed
// if the connection has ended before that. A client made by [Dial] waits for a
// connection, and tells of that.
func (c *Client) Extended(ctx context.Context) (bool, error) {
	switch {
	case c.redial != nil:
		return c.redial.extended(ctx)
	case c.conn == nil:
		return false, ErrClosed
	}
	if err := c.awaitHello(ctx); err != nil {
		return false, err
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.ext == nil && c.conn.closed {
		return false, ErrClosed
	}
	return c.conn.ext != nil, nil
}

// awaitHello waits until it is known what the peer can do.
func (c *Client) awaitHello(ctx context.Context) error {
	said := c.config.said
	if said == nil {
		return nil
	}
	select {
	case <-said:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown ends the connection in order. In extended mode it tells the peer to make no
// more calls; those that the peer has made, and the client's own, finish. It returns nil
// when the connection has ended, or ctx.Err() if ctx ends first; then it may be called
// again, or Close. Calls made after it return ErrClosed, except those that are made while
// a call of the peer's runs.
func (c *Client) Shutdown(ctx context.Context) error {
	switch {
	case c.redial != nil:
		c.redial.stop((*conn).drain)
	case c.conn == nil:
		return nil
	default:
		c.conn.drain()
	}
	select {
	case <-c.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
