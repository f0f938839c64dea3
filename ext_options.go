// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"time"
)

// An extensions is what options say of the extended mode. It implements [extension], and
// is immutable once a connection uses it.
type extensions struct {
	pingInterval    time.Duration // 0 means no pings
	pingTimeout     time.Duration
	minPingInterval time.Duration         // of the peer's
	hook            func(context.Context) // nil if there is none
	peerOptions     []ClientOpts
	required        bool // of the server's clients
}

// extensions returns what options say of the extended mode, which it asks for.
func (c *connConfig) extensions() *extensions {
	if c.extends == nil {
		c.extends = new(extensions)
	}
	return c.extends.(*extensions)
}

// extensions is the same for a client.
func (c *clientConfig) extensions() *extensions {
	c.begin = (*link).begin
	return c.connConfig.extensions()
}

const defaultPingTimeout = 20 * time.Second

func (e *extensions) keepAlive(interval, timeout time.Duration) {
	setDefault(&timeout, defaultPingTimeout)
	e.pingInterval, e.pingTimeout = interval, timeout
}

// WithExtensions has the client ask the server for the extended mode, in which a call that
// is given up ends at the server, streams have flow control, large messages do not delay
// small ones, either end can call the other, files can be passed, and the end of a
// connection is announced. It costs one call, for which all others wait. A server that does
// not know the mode, or was not made with [WithServerExtensions], sees classic ttrpc.
func WithExtensions() ClientOpts {
	return func(c *Client) { c.config.extensions() }
}

// WithServerExtensions has the server agree to the extended mode with clients that ask for
// it, see [WithExtensions]. Without it all connections are classic.
func WithServerExtensions() ServerOpt {
	return func(c *serverConfig) error {
		c.extensions()
		return nil
	}
}

// WithExtensionsRequired has the server serve clients in extended mode only. A connection
// ends, with a cause that says so, if its client has not asked for that when the handshake
// timeout has passed, or makes a call before: so it ends, too, if the other end is no client
// at all, but a server as well, see [Server.ServeConn]. It implies [WithServerExtensions].
func WithExtensionsRequired() ServerOpt {
	return func(c *serverConfig) error {
		c.extensions().required = true
		return nil
	}
}

// WithClientServices has s answer the calls that the server makes to the client, with its
// services, interceptors and limits of handlers; the client's own options give the limits of
// messages and queues. It implies [WithExtensions]. The connection stays the client's: s
// need not be shut down; doing so does not end the connection.
func WithClientServices(s *Server) ClientOpts {
	return func(c *Client) {
		c.config.extensions()
		c.config.host, c.config.hooks = serveFunc(s.serve), &s.hooks
	}
}

// WithPeerClientOptions sets options of the clients that [PeerClient] returns: interceptors,
// the default timeout, WithOnClose. The server's own options give the limits, and say whether
// vtprotobuf's methods are used. It implies [WithServerExtensions].
func WithPeerClientOptions(opts ...ClientOpts) ServerOpt {
	return func(c *serverConfig) error {
		e := c.extensions()
		e.peerOptions = append(e.peerOptions, opts...)
		return nil
	}
}

// WithConnectionHook has hook called, on a goroutine of its own, for each connection in
// extended mode once that is agreed on. The context ends when the connection does, and
// context.Cause tells why; [PeerClient] and [PeerFromContext] work in it. It implies
// [WithServerExtensions].
func WithConnectionHook(hook func(ctx context.Context)) ServerOpt {
	return func(c *serverConfig) error {
		c.extensions().hook = hook
		return nil
	}
}

// WithKeepalive has the client send a ping when nothing has come from the server for the
// interval. If nothing comes for the timeout (20 s if it is 0 or less) after that either,
// the connection ends, with [ErrKeepalive]. A server whose handlers are busy answers
// nevertheless; one that is stopped does not. It implies [WithExtensions]; no pings are
// sent over a connection that stays classic.
func WithKeepalive(interval, timeout time.Duration) ClientOpts {
	return func(c *Client) { c.config.extensions().keepAlive(interval, timeout) }
}

// WithServerKeepalive is [WithKeepalive] for the server, of its clients. It implies
// [WithServerExtensions].
func WithServerKeepalive(interval, timeout time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.extensions().keepAlive(interval, timeout)
		return nil
	}
}

// WithMinPingInterval has the server part from clients that send pings more often than this,
// several times in a row: it serves no more of their calls, and those that run finish. By
// default they may ping as often as they like. It implies [WithServerExtensions].
func WithMinPingInterval(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.extensions().minPingInterval = d
		return nil
	}
}
