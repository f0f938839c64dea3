// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// In extended mode either end makes calls. A handler's context leads to the client of
// the peer whose call it runs.

// servesNothing is the host of a client that answers no calls.
type servesNothing struct{}

// acceptLocked implements [host].
func (servesNothing) acceptLocked(c *conn, f *frame) bool {
	c.replyLocked(f.header.StreamID, status.New(codes.Unimplemented, errServesNothing))
	c.servedLocked().Refused++
	c.unlock()
	f.release()
	return true
}

// rejectLocked implements [host].
func (servesNothing) rejectLocked(c *conn, s *stream, f *frame, why violation, big *OversizedMessageErr) {
	c.rejectLocked(s, f, why, big)
}

// PeerClient returns the client that makes calls to the peer whose call the context's
// handler runs, or whose connection the hook of [WithConnectionHook] was called for. It
// may be used until the connection ends, also after the handler has returned; it is the
// same one for all handlers of the connection. Its Close ends the connection.
//
// Its calls fail at once, with nothing sent, with [ErrPeerClassic] if the peer does not
// know the extended mode, and with a status of code Unimplemented if it answers no calls.
//
// The error says that ctx is not such a context, or that the server was made without
// [WithServerExtensions].
func PeerClient(ctx context.Context) (*Client, error) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil, errors.New("ttrpc: the context is not that of a handler or a connection")
	}
	if c.role == roleServer && c.cfg.extends == nil {
		return nil, errors.New("ttrpc: the server calls no clients: it was made without WithServerExtensions")
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
	made := c.user == nil
	user := c.userLocked()
	c.user = user
	c.mu.Unlock()
	if made {
		c.onEnd(func(error) { go user.config.closed() })
	}
	return user
}

// userLocked returns the client that makes calls on the connection, or makes it.
func (c *conn) userLocked() *Client {
	switch user := c.user.(type) {
	case *Client:
		return user
	case *link:
		return &Client{user.cfg, user}
	}
	user, _ := c.cfg.extends.newUser(c).(*Client)
	return user
}

// newUser implements [extension].
func (e *extensions) newUser(c *conn) any {
	cfg := newUserConfig(e.peerOptions)
	cfg.codec = c.cfg.codec
	cfg.finish() // NewServer has looked for mistakes
	return &Client{cfg, &link{conn: c, cfg: cfg}}
}

// Done returns a channel that is closed when the connection has ended, whoever ended
// it, and the function of WithOnClose has returned.
func (c *Client) Done() <-chan struct{} {
	if c.config == nil {
		return closedChan()
	}
	return c.config.closeDone
}

// Extended waits until it is known what the peer can do, and tells whether the
// connection is in extended mode. It returns ctx.Err() if ctx ends first, and ErrClosed
// if the connection has ended before that. A client made by [Dial] waits for a
// connection, and tells of that.
func (c *Client) Extended(ctx context.Context) (bool, error) {
	if c.via == nil {
		return false, ErrClosed
	}
	return c.via.extended(ctx)
}

// Peer waits until the handshake is over, and returns the other end of the connection, which
// must not be changed. It returns ctx.Err() if ctx ends first, and ErrClosed if the connection has
// ended before that. A client made by [Dial] tells of the connection that takes calls, and if there
// is none does what a call does.
func (c *Client) Peer(ctx context.Context) (*Peer, error) {
	if c.via == nil {
		return nil, ErrClosed
	}
	return c.via.(peerKnower).peer(ctx)
}

// A peerKnower is every connector. It is an interface of its own so that only programs that ask
// for the peer link what knows it.
type peerKnower interface {
	peer(ctx context.Context) (*Peer, error)
}

// Shutdown ends the connection in order. In extended mode it tells the peer to make no
// more calls; those that the peer has made, and the client's own, finish. Calls that handlers
// of the client's own calls make back to it are served until these have ended. It returns nil
// when the connection has ended, or ctx.Err() if ctx ends first; then it may be called
// again, or Close. Calls made after it return ErrClosed, except those that are made while
// a call of the peer's runs. It does not wait for the function of WithOnClose, which may
// call it.
func (c *Client) Shutdown(ctx context.Context) error {
	if c.via == nil {
		return nil
	}
	c.via.drain()
	select {
	case <-c.config.over:
		return nil
	case <-ctx.Done():
		return errOf(ctx)
	}
}
