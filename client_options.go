// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"net"
	"time"
)

// clientConfig is what the options set.
type clientConfig struct {
	connConfig
	onClose   func()
	closeDone chan struct{} // closed once onClose has returned
	host      host          // answers the peer's calls; nil if nothing does
	hooks     *connHooks    // if something does
	dialling  any           // a *dialling: how Dial connects; nil if no option says

	// begin is link.begin if the connection begins with more than conn.start, else nil.
	begin func(l *link, nc net.Conn)

	// Of each kind of interceptors the one that is not in the chain, the chain, and both;
	// nil if there are none.
	firstUnary, restUnary   UnaryClientInterceptor
	firstStream, restStream StreamClientInterceptor
	stream                  StreamClientInterceptor
	intercepted             func(ctx context.Context, head requestHead, req, resp any) error // Client.Call with those of unary calls
}

func newClientConfig() *clientConfig { return &clientConfig{closeDone: make(chan struct{})} }

// joinUnary is called when an interceptor of unary calls was set.
func (c *Client) joinUnary() {
	c.config.intercepted = nil
	if all := joinUnaryClient(c.config.firstUnary, c.config.restUnary); all != nil {
		c.config.intercepted = func(ctx context.Context, head requestHead, req, resp any) error {
			return c.callIntercepted(ctx, all, head, req, resp)
		}
	}
}

// joinStream is called when an interceptor of streams was set.
func (cfg *clientConfig) joinStream() {
	cfg.stream = joinStreamClient(cfg.firstStream, cfg.restStream)
}

// ClientOpts sets an option of a client. Of an option that is given twice the
// last counts, except that chains of interceptors grow.
type ClientOpts func(c *Client)

// WithOnClose has onClose called once, on a goroutine of its own, when the
// connection has ended, by Close, by the peer or by an error. It may use the
// client. Just after calls that followed one another closely, the peer's end may
// be noticed 20 ms late.
func WithOnClose(onClose func()) ClientOpts {
	return func(c *Client) { c.config.onClose = onClose }
}

// WithUnaryClientInterceptor sets the interceptor that runs before those of
// WithChainUnaryClientInterceptor.
func WithUnaryClientInterceptor(i UnaryClientInterceptor) ClientOpts {
	return func(c *Client) {
		c.config.firstUnary = i
		c.joinUnary()
	}
}

// WithChainUnaryClientInterceptor adds interceptors of unary calls. They run
// in order, the first outermost.
func WithChainUnaryClientInterceptor(interceptors ...UnaryClientInterceptor) ClientOpts {
	return func(c *Client) {
		for _, i := range interceptors {
			c.config.restUnary = joinUnaryClient(c.config.restUnary, i)
		}
		c.joinUnary()
	}
}

// WithStreamClientInterceptor sets the interceptor that runs before those of
// WithChainStreamClientInterceptor.
func WithStreamClientInterceptor(i StreamClientInterceptor) ClientOpts {
	return func(c *Client) {
		c.config.firstStream = i
		c.config.joinStream()
	}
}

// WithChainStreamClientInterceptor adds interceptors of streams. They run in
// order, the first outermost.
func WithChainStreamClientInterceptor(interceptors ...StreamClientInterceptor) ClientOpts {
	return func(c *Client) {
		for _, i := range interceptors {
			c.config.restStream = joinStreamClient(c.config.restStream, i)
		}
		c.config.joinStream()
	}
}

// WithClientHandshaker has h speak on the connection before ttrpc does. Calls
// wait for it; if it fails the connection ends, and [Client.Cause] tells why.
func WithClientHandshaker(h Handshaker) ClientOpts {
	return func(c *Client) {
		c.config.handshaker = h
		c.config.begin = (*link).begin
	}
}

// WithClientHandshakeTimeout bounds how long the handshake may take; 10 s by
// default, and if d is 0 or less.
func WithClientHandshakeTimeout(d time.Duration) ClientOpts {
	return func(c *Client) { c.config.handshakeTimeout = d }
}

// WithClientMaxMessageSize sets how many bytes a message, with its envelope,
// may have, sent or received: 1 to 1 GiB; 4 MiB by default. Above the default the
// server must allow it as well. In extended mode the smaller of the two counts;
// without, 16 MiB - 1 is the most. A size out of this range panics.
func WithClientMaxMessageSize(bytes int) ClientOpts {
	if err := checkMessageSize(bytes); err != nil {
		panic(err)
	}
	return func(c *Client) { c.config.maxMessage = bytes }
}

// WithClientStreamQueue bounds the queues of the messages that streams have
// received.
func WithClientStreamQueue(q StreamQueue) ClientOpts {
	return func(c *Client) { c.config.queue = q }
}

// WithClientDefaultTimeout gives unary calls whose context has no deadline one
// that is this far away. Streams, which may be meant to last, have none.
func WithClientDefaultTimeout(d time.Duration) ClientOpts {
	return func(c *Client) { c.config.defaultTimeout = d }
}

// WithVTProto encodes and decodes messages that vtprotobuf has generated methods for
// by these, which is faster. They do not check that strings are UTF-8, and they leave
// the sizes that a message caches as they are. Without this option, and in messages
// without such methods, google.golang.org/protobuf encodes and decodes. It holds for
// the calls that the client answers, too. The peer sees the same bytes.
func WithVTProto() ClientOpts {
	return func(c *Client) { c.config.codec.vt = true }
}

// WithClientLogger sends what the client has to tell to l. By default, or if l
// is nil, errors go to the standard log, the rest nowhere.
func WithClientLogger(l Logger) ClientOpts {
	return func(c *Client) { c.config.log = l }
}
