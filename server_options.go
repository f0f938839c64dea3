// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"net"
	"slices"
)

// serverConfig is what the options set.
type serverConfig struct {
	connConfig
	unknown       func(*serverCall, requestView) bool // routes calls that services does not; or nil
	newGoroutines bool
	shake         func(s *Server, ctx context.Context, c *conn, nc net.Conn) // is Server.shakeHands if there is a handshaker, else nil
	recovered     recoverer                                                  // of panics in handlers, or nil

	// The one that is not in the chain, the chain, and both; nil if there are none.
	firstUnary, restUnary, unary UnaryServerInterceptor
	stream                       StreamServerInterceptor
}

// ServerOpt sets an option of a server; NewServer returns its error. The package
// documentation has a table of the options, and says what becomes of mistakes.
type ServerOpt func(*serverConfig) error

// WithServerHandshaker has every connection pass h before ttrpc is spoken on
// it. nil means none; giving two is an error.
func WithServerHandshaker(h Handshaker) ServerOpt {
	return func(c *serverConfig) error {
		if c.handshaker != nil {
			return errors.New("only one handshaker allowed per server")
		}
		if c.handshaker = h; h != nil {
			c.shake = (*Server).shakeHands
		}
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

// WithChainStreamServerInterceptor adds interceptors of streams. They run in
// order, the first outermost.
func WithChainStreamServerInterceptor(interceptors ...StreamServerInterceptor) ServerOpt {
	if slices.ContainsFunc(interceptors, func(i StreamServerInterceptor) bool { return i == nil }) {
		panic("ttrpc: an interceptor is nil")
	}
	return func(c *serverConfig) error {
		for _, i := range interceptors {
			c.stream = joinStreamServer(c.stream, i)
		}
		return nil
	}
}

// WithServerLimits bounds the server's messages, what its streams queue, its handlers and
// its connections.
func WithServerLimits(l Limits) ServerOpt {
	l.check()
	return func(c *serverConfig) error {
		c.limits.override(&l)
		return nil
	}
}

// WithServerTimeouts bounds how long handshakes and the handlers of unary calls may take.
func WithServerTimeouts(t Timeouts) ServerOpt {
	t.check()
	return func(c *serverConfig) error {
		c.timeouts.override(&t)
		return nil
	}
}

// WithRecoverPanics answers a call whose handler panics with Internal, and
// logs the panic as an error, with the method, the peer and the stack. Interceptors
// around the handler see the error. By default a panic in a handler is the program's.
func WithRecoverPanics() ServerOpt {
	return func(c *serverConfig) error {
		c.recovered = recovers{}
		return nil
	}
}

// WithGoroutinePerCall runs each handler on a goroutine of its own, which ends with it, as
// releases of ttrpc do.
//
// By default goroutines run many handlers, one after the other, and a quick handler runs
// on the goroutine that has read its request. Between two processes a short call then
// takes half the time and half the CPU, and others need no new stack. There are two
// reasons not to want that.
//
// A handler may leave its goroutine locked to an OS thread, for example because it has
// changed the thread's namespaces. With this option the thread ends with the handler.
//
// A call may have to wait for the handler of another one. That happens if a method that
// was quick so far waits, and has not asked for its context's channel before: the other
// calls of its connection wait as long, but at most 20 ms. A method that is found waiting,
// which takes 10 to 20 ms, never again runs on the goroutine that reads; one that took 1
// ms or more does so after 250 quicker runs in a row.
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
	if l == nil {
		panic("ttrpc: the logger is nil")
	}
	return func(c *serverConfig) error {
		c.log = l
		return nil
	}
}
