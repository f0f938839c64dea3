// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"time"
)

// serverConfig is what the options set.
type serverConfig struct {
	connConfig
	shake          func(c *conn, ctx context.Context, nc net.Conn) // is conn.shakeHands if there is a handshaker, else nil
	maxConnections int
	maxHandlers    int                                     // of one connection; 0 means no cap
	unknown        func(*serverCall, requestView) bool     // routes calls that services does not; or nil
	recovered      func(d *dispatcher, panicked any) error // is dispatcher.panicked, or nil
	newGoroutines  bool

	// Of each kind of interceptors the one that is not in the chain, the chain, and both;
	// nil if there are none.
	firstUnary, restUnary, unary    UnaryServerInterceptor
	firstStream, restStream, stream StreamServerInterceptor
}

// ServerOpt sets an option of a server; NewServer returns its error.
type ServerOpt func(*serverConfig) error

// WithServerHandshaker has every connection pass h before ttrpc is spoken on
// it. Giving two is an error.
func WithServerHandshaker(h Handshaker) ServerOpt {
	return func(c *serverConfig) error {
		if c.handshaker != nil {
			return errors.New("only one handshaker allowed per server")
		}
		if c.handshaker = h; h != nil {
			c.shake = (*conn).shakeHands
		}
		return nil
	}
}

// WithServerHandshakeTimeout bounds how long a handshake may take; 10 s by
// default, and if d is 0 or less.
func WithServerHandshakeTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.handshakeTimeout = d
		return nil
	}
}

// WithUnaryServerInterceptor sets the interceptor that runs before those of
// WithChainUnaryServerInterceptor. nil means none; giving two is an error.
func WithUnaryServerInterceptor(i UnaryServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		if c.firstUnary != nil {
			return errors.New("only one unchained interceptor allowed per server")
		}
		c.firstUnary, c.unary = i, joinUnaryServer(i, c.restUnary)
		return nil
	}
}

// WithChainUnaryServerInterceptor adds interceptors of unary calls. They run in
// order, the first outermost.
func WithChainUnaryServerInterceptor(interceptors ...UnaryServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		for _, i := range interceptors {
			c.restUnary = joinUnaryServer(c.restUnary, i)
		}
		c.unary = joinUnaryServer(c.firstUnary, c.restUnary)
		return nil
	}
}

// WithStreamServerInterceptor sets the interceptor that runs before those of
// WithChainStreamServerInterceptor. nil means none; giving two is an error.
func WithStreamServerInterceptor(i StreamServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		if c.firstStream != nil {
			return errors.New("only one unchained stream interceptor allowed per server")
		}
		c.firstStream, c.stream = i, joinStreamServer(i, c.restStream)
		return nil
	}
}

// WithChainStreamServerInterceptor adds interceptors of streams. They run in
// order, the first outermost.
func WithChainStreamServerInterceptor(interceptors ...StreamServerInterceptor) ServerOpt {
	return func(c *serverConfig) error {
		for _, i := range interceptors {
			c.restStream = joinStreamServer(c.restStream, i)
		}
		c.stream = joinStreamServer(c.firstStream, c.restStream)
		return nil
	}
}

// WithServerMaxMessageSize sets how many bytes a message, with its envelope,
// may have, sent or received: 1 to 1 GiB; 4 MiB by default. Above the default the
// clients must allow it as well. In extended mode the smaller of the two counts;
// without, 16 MiB - 1 is the most.
func WithServerMaxMessageSize(bytes int) ServerOpt {
	return func(c *serverConfig) error {
		c.maxMessage = bytes
		return checkMessageSize(bytes)
	}
}

// WithServerStreamQueue bounds the queues of the messages that streams have
// received.
func WithServerStreamQueue(q StreamQueue) ServerOpt {
	return func(c *serverConfig) error {
		c.queue = q
		return nil
	}
}

// WithMaxConcurrentHandlers caps how many handlers may run at once for one
// connection. A call over the cap is answered with ResourceExhausted. By
// default there is no cap. The answers of handlers that already run are kept
// whatever the peer reads: the cap times the largest answer is the most that
// one connection can pile up beyond StreamQueue.ConnectionBytes.
func WithMaxConcurrentHandlers(n int) ServerOpt {
	return func(c *serverConfig) error {
		c.maxHandlers = n
		return nil
	}
}

// WithMaxConnections caps how many connections the server holds. One over the
// cap is closed when it is accepted. By default there is no cap.
func WithMaxConnections(n int) ServerOpt {
	return func(c *serverConfig) error {
		c.maxConnections = n
		return nil
	}
}

// WithServerDefaultTimeout gives the handlers of unary calls that come without
// a deadline a context that ends after d. Streams, which may be meant to last,
// have none.
func WithServerDefaultTimeout(d time.Duration) ServerOpt {
	return func(c *serverConfig) error {
		c.defaultTimeout = d
		return nil
	}
}

// WithRecoverPanics answers a call whose handler panics with Internal, and
// logs the panic with its stack as an error. By default a panic in a handler
// is the program's.
func WithRecoverPanics() ServerOpt {
	return func(c *serverConfig) error {
		c.recovered = (*dispatcher).panicked
		return nil
	}
}

// WithGoroutinePerCall runs each handler on a goroutine of its own, which ends
// with it, as releases of ttrpc do. It is for handlers that leave their goroutine
// locked to an OS thread, so that a thread whose namespaces they changed ends with
// them. By default goroutines run many handlers, one after the other, and a quick
// handler the one that has read its request: between two processes a short call
// then takes half the time and half the CPU, and others need no new stack.
//
// It is also for servers on which no call may ever wait for another's handler. By
// default one does if a method that was quick so far waits, and has not asked for its
// context's channel before: the other calls of its connection wait as long, but at
// most 20 ms. A method that is found waiting then, which takes 10 to 20 ms, never runs
// so again on this server; one that took 1 ms or more does so after 250 quicker runs
// in a row.
func WithGoroutinePerCall() ServerOpt {
	return func(c *serverConfig) error {
		c.newGoroutines = true
		return nil
	}
}

// WithServerVTProto is [WithVTProto] for the connections of a server: for the calls
// that it answers, and those of [PeerClient].
func WithServerVTProto() ServerOpt {
	return func(c *serverConfig) error {
		c.codec.vt = true
		return nil
	}
}

// WithServerLogger sends what the server has to tell to l. By default errors go
// to the standard log, the rest nowhere.
func WithServerLogger(l Logger) ServerOpt {
	return func(c *serverConfig) error {
		if l == nil {
			return errors.New("ttrpc: the logger is nil")
		}
		c.log = l
		return nil
	}
}
