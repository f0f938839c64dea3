// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An extensions is what options say of the extended mode. It implements [extension], and
// is immutable once a connection uses it.
type extensions struct {
	keepalive   Keepalive
	hook        func(context.Context) // nil if there is none
	peerOptions []ClientOpts
	required    bool // of the server's clients
}

// extensions returns what options say of the extended mode, which it asks for.
func (c *connConfig) extensions() *extensions {
	if c.extends == nil {
		c.extends = &extensions{keepalive: Keepalive{Timeout: defaultPingTimeout}}
	}
	return c.extends.(*extensions)
}

// extensions is the same for a client.
func (cfg *clientConfig) extensions() *extensions {
	cfg.begin = (*link).begin
	return cfg.connConfig.extensions()
}

const defaultPingTimeout = 20 * time.Second

// WithExtensions has the client ask the server for the extended mode. In it a call that is
// given up ends at the server, streams have flow control, large messages do not delay
// small ones, either end can call the other, files can be passed, and the end of a
// connection is announced. Asking costs one call, for which all others wait. A server that
// does not know the mode, or was made without [WithServerExtensions], sees classic ttrpc.
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

// TakesExtensions tells whether the server was told to agree to the extended mode, see
// [WithServerExtensions]. A package whose services need the mode can say so in time.
func TakesExtensions(s *Server) bool { return s.config != nil && s.config.extends != nil }

// WithExtensionsRequired has the server serve clients in extended mode only. If a client
// makes a call without having asked for the mode, or has not asked when the handshake
// timeout has passed, its connection ends, with a cause that says so. That is also how a
// connection ends whose other end is a server as well, see [Server.ServeConn]. It implies
// [WithServerExtensions].
func WithExtensionsRequired() ServerOpt {
	return func(c *serverConfig) error {
		c.extensions().required = true
		return nil
	}
}

// WithClientServices has the client answer calls of the server's: s has the services, and
// with them interceptors and limits of handlers. The limits of messages and queues are
// those of the client's own options. It implies [WithExtensions].
//
// s serves no listener, and the connection stays the client's. s need not be shut down,
// and to shut it down does not end the connection. If the connection stays classic the
// server can make no calls, and the logger is warned of that.
func WithClientServices(s *Server) ClientOpts {
	if s == nil {
		panic("ttrpc: the server of the client's services is nil")
	}
	if s.config == nil {
		panic("ttrpc: the server of the client's services was not made by NewServer")
	}
	return func(c *Client) {
		c.config.extensions()
		c.config.host, c.config.hooks = serveFunc(s.serve), &s.hooks
	}
}

// WithPeerClientOptions sets options of the clients that [PeerClient] returns:
// interceptors, Timeouts.Call and WithOnClose. Other options do not apply, for the
// server's own options hold. It implies [WithServerExtensions].
func WithPeerClientOptions(opts ...ClientOpts) ServerOpt {
	return func(c *serverConfig) error {
		e := c.extensions()
		e.peerOptions = append(e.peerOptions, opts...)
		return newUserConfig(opts).checkUser()
	}
}

// newUserConfig returns what options of a peer's client set.
func newUserConfig(opts []ClientOpts) *clientConfig {
	user := &Client{config: newClientConfig()}
	user.apply(opts)
	return user.config
}

// checkUser returns an error if an option does not apply to a peer's client.
func (cfg *clientConfig) checkUser() error {
	if cfg.mistake != nil {
		return cfg.mistake
	}
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"WithClientHandshaker", cfg.handshaker != nil},
		{"WithClientLimits", cfg.limits != Limits{}},
		{"WithClientTimeouts with Handshake", cfg.timeouts.Handshake != 0},
		{"WithVTProto", cfg.codec.vt},
		{"WithClientLogger", cfg.log != nil},
		{"WithClientTrace", cfg.trace != nil},
		{"WithDialer", cfg.dialer != nil},
		{"WithClientServices", cfg.host != nil},
		{"an option of the extended mode", cfg.extends != nil},
	} {
		if option.given {
			return errors.New("ttrpc: " + option.name + " was given to WithPeerClientOptions: the connection is the server's")
		}
	}
	return nil
}

// WithConnectionHook has hook called for each connection in extended mode, once that is
// agreed on, on a goroutine of its own. The context ends when the connection does, and
// context.Cause tells why. [PeerClient] and [PeerFromContext] work in it. It implies
// [WithServerExtensions].
func WithConnectionHook(hook func(ctx context.Context)) ServerOpt {
	if hook == nil {
		panic("ttrpc: the hook of connections is nil")
	}
	return func(c *serverConfig) error {
		c.extensions().hook = hook
		return nil
	}
}

// Keepalive is what one end does to know that the other is alive. Fields that are zero have
// their default; Interval or MinInterval must be set, and Timeout goes with Interval.
type Keepalive struct {
	// Interval is how long nothing may have come from the other end before a ping is
	// sent: 10 ms or more. By default none are. A client of [Dial] makes it four times as
	// long for its next connection if the other end has parted because of its pings.
	Interval time.Duration

	// Timeout is how long nothing may come after a ping either, before the connection
	// ends, with [ErrKeepalive]; 10 ms or more, 20 s by default. So a dead peer is noticed
	// when both have passed since the last byte came, or another Timeout later if the reader
	// does not get to what has arrived by then. A large message takes a while, so less than
	// 100 ms may end healthy connections. An end whose handlers are busy answers
	// nevertheless; one that is stopped does not.
	Timeout time.Duration

	// MinInterval is how often the other end may send pings. From one that sends them
	// more often, several times in a row, this end parts: it serves no more of its
	// calls, and those that run finish. The other end is told, by [ErrTooManyPings]. By
	// default it may send as many as it likes.
	MinInterval time.Duration
}

// check panics if no keep-alive can be such.
func (k *Keepalive) check() {
	refuse("Keepalive.Interval", k.Interval)
	refuse("Keepalive.Timeout", k.Timeout)
	refuse("Keepalive.MinInterval", k.MinInterval)
	switch {
	case k.Interval == 0 && k.Timeout != 0:
		panic("ttrpc: Keepalive has a Timeout without an Interval")
	case k.Interval == 0 && k.MinInterval == 0:
		panic("ttrpc: Keepalive has neither an Interval nor a MinInterval")
	case k.Interval != 0 && k.Interval < leastKeepalive:
		panic(fmt.Sprintf("ttrpc: Keepalive.Interval is below %v: %v", leastKeepalive, k.Interval))
	case k.Timeout != 0 && k.Timeout < leastKeepalive:
		panic(fmt.Sprintf("ttrpc: Keepalive.Timeout is below %v: %v", leastKeepalive, k.Timeout))
	}
}

// leastKeepalive is the least interval and timeout: an end that has nothing else to do may
// take some milliseconds to answer.
const leastKeepalive = 10 * time.Millisecond

// override sets what other says.
func (k *Keepalive) override(other *Keepalive) {
	override(&k.Interval, other.Interval)
	override(&k.Timeout, other.Timeout)
	override(&k.MinInterval, other.MinInterval)
}

// WithKeepalive has the client find out whether the server is alive. It implies
// [WithExtensions]. If the connection stays classic no pings are sent, and the logger is
// warned of that.
func WithKeepalive(k Keepalive) ClientOpts {
	k.check()
	return func(c *Client) { c.config.extensions().keepalive.override(&k) }
}

// WithServerKeepalive is [WithKeepalive] for the server, of its clients. It implies
// [WithServerExtensions].
func WithServerKeepalive(k Keepalive) ServerOpt {
	k.check()
	return func(c *serverConfig) error {
		c.extensions().keepalive.override(&k)
		return nil
	}
}
