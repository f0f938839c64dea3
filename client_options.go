// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"slices"
)

// clientConfig is what the options set.
type clientConfig struct {
	connConfig
	onClose   func()
	mistake   error         // of the options; nil if there is none
	over      chan struct{} // closed once the last connection has ended
	closeDone chan struct{} // closed once onClose has returned, too
	host      host          // answers the peer's calls; nil if nothing does
	hooks     *connHooks    // if something does
	dialer    any           // a *Dialer: how Dial connects; nil if no option says

	// begin is link.begin if the connection begins with more than conn.start, else nil.
	begin func(l *link, nc net.Conn)

	firstUnary, restUnary UnaryClientInterceptor // the one that is not in the chain, and the chain; or nil
	stream                StreamClientInterceptor
	intercepted           func(ctx context.Context, via connector, head requestHead, req, resp any) error // Client.Call with interceptors; nil if there are none
}

func newClientConfig() *clientConfig {
	return &clientConfig{over: make(chan struct{}), closeDone: make(chan struct{})}
}

// apply sets the options.
func (c *Client) apply(opts []ClientOpts) {
	for i, opt := range opts {
		if opt == nil {
			c.config.mistake = nilOption(i)
			return
		}
		opt(c)
	}
}

// finish makes of what the options have set what the client uses. It returns their
// mistake.
func (cfg *clientConfig) finish() error {
	cfg.setDefaults()
	if cfg.mistake == nil {
		cfg.mistake = cfg.checkFiles("WithExtensions")
	}
	return cfg.mistake
}

// joinUnary is called when an interceptor of unary calls was set.
func (cfg *clientConfig) joinUnary() {
	cfg.intercepted = nil
	if all := joinUnaryClient(cfg.firstUnary, cfg.restUnary); all != nil {
		cfg.intercepted = func(ctx context.Context, via connector, head requestHead, req, resp any) error {
			return cfg.callIntercepted(ctx, all, via, head, req, resp)
		}
	}
}

// ClientOpts sets an option of a client. The package documentation has a table of the
// options, and says what becomes of mistakes.
type ClientOpts func(c *Client)

// WithOnClose has onClose called once, on a goroutine of its own, when the connection has
// ended, by Close, by the peer or by an error. It may use the client. If calls followed
// one another closely just before, the peer's end may be noticed 20 ms late.
func WithOnClose(onClose func()) ClientOpts {
	return func(c *Client) { c.config.onClose = onClose }
}

// WithUnaryClientInterceptor sets the interceptor that runs before those of
// WithChainUnaryClientInterceptor.
func WithUnaryClientInterceptor(i UnaryClientInterceptor) ClientOpts {
	return func(c *Client) {
		c.config.firstUnary = i
		c.config.joinUnary()
	}
}

// WithChainUnaryClientInterceptor adds interceptors of unary calls. They run
// in order, the first outermost.
func WithChainUnaryClientInterceptor(interceptors ...UnaryClientInterceptor) ClientOpts {
	return func(c *Client) {
		for _, i := range interceptors {
			c.config.restUnary = joinUnaryClient(c.config.restUnary, i)
		}
		c.config.joinUnary()
	}
}

// WithChainStreamClientInterceptor adds interceptors of streams. They run in
// order, the first outermost.
func WithChainStreamClientInterceptor(interceptors ...StreamClientInterceptor) ClientOpts {
	if slices.ContainsFunc(interceptors, func(i StreamClientInterceptor) bool { return i == nil }) {
		panic("ttrpc: an interceptor is nil")
	}
	return func(c *Client) {
		for _, i := range interceptors {
			c.config.stream = joinStreamClient(c.config.stream, i)
		}
	}
}

// WithClientHandshaker has h speak on the connection before ttrpc does. Calls
// wait for it; if it fails the connection ends, and [Client.Cause] tells why. nil means
// none; giving two is a mistake.
func WithClientHandshaker(h Handshaker) ClientOpts {
	return func(c *Client) {
		if c.config.handshaker != nil {
			c.config.mistake = errors.New("ttrpc: only one handshaker allowed per client")
		}
		c.config.handshaker = h
		c.config.begin = (*link).begin
	}
}

// WithClientLimits bounds the messages of the client and what its streams queue. Handlers
// and Connections must be 0: they are those of a server.
func WithClientLimits(l Limits) ClientOpts {
	l.check()
	if l.Handlers != 0 || l.Connections != 0 {
		panic("ttrpc: Limits.Handlers and Limits.Connections are those of a server, not of a client")
	}
	return func(c *Client) { c.config.limits.override(&l) }
}

// WithClientTimeouts bounds how long a handshake and the client's calls may take.
func WithClientTimeouts(t Timeouts) ClientOpts {
	t.check()
	return func(c *Client) { c.config.timeouts.override(&t) }
}

// WithVTProto encodes and decodes messages by the methods that vtprotobuf has generated
// for them, which is faster. These do not check that strings are UTF-8, and leave the
// sizes that a message caches as they are. Without this option, and for messages without
// such methods, google.golang.org/protobuf does it. The option holds for the calls that
// the client answers, too. The peer sees the same bytes.
func WithVTProto() ClientOpts {
	return func(c *Client) { c.config.codec.vt = true }
}

// WithClientLogger sends what the client has to tell to l. By default errors go to the
// standard log, and so do warnings of a client made by [Dial]; the rest goes nowhere.
func WithClientLogger(l Logger) ClientOpts {
	if l == nil {
		panic("ttrpc: the logger is nil")
	}
	return func(c *Client) { c.config.log = l }
}
