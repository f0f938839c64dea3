// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"time"
)

// WithExtensions has the client ask the server for the extended mode, in which a call that
// is given up ends at the server, streams have flow control, large messages do not delay
// small ones, either end can call the other, files can be passed, and the end of a
// connection is announced. It costs one call, for which all others wait. A server that does
// not know the mode sees classic ttrpc.
func WithExtensions() ClientOpts {
	return func(c *Client) { c.config.extends = true }
}

// WithoutExtensions has the server not know the extended mode.
func WithoutExtensions() ServerOpt {
	return func(c *serverConfig) error {
		c.classic = true
		return nil
	}
}

// WithClientServices has s answer the calls that the server makes to the client, with its
// services, interceptors and limits of handlers; the client's own options give the limits of
// messages and queues. It implies [WithExtensions]. The connection stays the client's: to
// shut s down or close it is not needed, and does not end it.
func WithClientServices(s *Server) ClientOpts {
	return func(c *Client) {
		c.config.extends = true
		c.config.services = s
	}
}

// WithPeerClientOptions sets options of the clients that [PeerClient] returns: interceptors,
// the default timeout, WithOnClose. The server's own options give the limits.
func WithPeerClientOptions(opts ...ClientOpts) ServerOpt {
	return func(c *serverConfig) error {
		c.peerOptions = append(c.peerOptions, opts...)
		return nil
	}
}

// WithConnectionHook has hook called, on a goroutine of its own, for each connection in
// extended mode once that is agreed on. The context ends when the connection does, and
// context.Cause tells why; [PeerClient] and [PeerFromContext] work in it.
func WithConnectionHook(hook func(ctx context.Context)) ServerOpt {
	return func(c *serverConfig) error {
		c.hook = hook
		return nil
	}
}

// WithKeepalive has the client send a ping when nothing has come from the server for the
// interval. If nothing comes for the timeout (20 s if it is 0 or less) after that either,
// the connection ends, with [ErrKeepalive]. A server whose handlers are busy answers nevertheless; one that is stopped
// does not. It works in extended mode only.
func WithKeepalive(interval, timeout time.Duration) ClientOpts {
	return func(c *Client) { c.config.pingInterval, c.config.pingTimeout = interval, timeout }
}

// WithServerKeepalive is [WithKeepalive] for the server, of its clients.
func WithServerKeepalive(interval, timeout time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.pingInterval, c.pingTimeout = interval, timeout
		return nil
	}
}

// WithMinPingInterval has the server part from clients that send pings more often than this,
// several times in a row: it serves no more of their calls, and those that run finish. By
// default they may ping as often as they like.
func WithMinPingInterval(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.minPingInterval = d
		return nil
	}
}
