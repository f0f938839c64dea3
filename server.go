// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// A Server answers the calls of any number of connections. Its methods may be
// used concurrently. The zero Server is closed: [NewServer] makes others.
type Server struct {
	// Immutable after NewServer.
	config     *serverConfig
	dispatcher dispatcher
	workers    workers
	hooks      connHooks
	host       host          // of its connections,
	gone       func(*conn)   // and what removes one
	closing    chan struct{} // closed by the first Shutdown or Close

	mu sync.Mutex

	// Guarded by mu.
	listeners map[*net.Listener]struct{} // not each listener can be a key itself
	admission
	stopping bool          // no new connections
	empty    chan struct{} // made by Shutdown; closed when no connection is left

	refused, unshaken refusals // connections at once, and after their handshakes
}

// NewServer returns a server that serves nothing yet, or the error of an option.
func NewServer(opts ...ServerOpt) (*Server, error) {
	cfg := new(serverConfig)
	for i, opt := range opts {
		if opt == nil {
			return nil, nilOption(i)
		}
		if err := opt(cfg); err != nil {
			return nil, err
		}
	}
	cfg.setDefaults()
	if err := cfg.checkFiles("WithServerExtensions"); err != nil {
		return nil, err
	}
	s := &Server{
		config:    cfg,
		closing:   make(chan struct{}),
		listeners: make(map[*net.Listener]struct{}),
		admission: admission{connections: make(map[*conn]struct{})},
		dispatcher: dispatcher{
			unknown:        cfg.unknown,
			unary:          cfg.unary,
			stream:         cfg.stream,
			defaultTimeout: cfg.timeouts.Call,
			recovered:      cfg.recovered,
			log:            cfg.log,
		},
	}
	s.workers.run = s.dispatcher.run
	s.host, s.gone = serveFunc(s.serve), s.removeConnection
	s.hooks = connHooks{maxHandlers: cfg.limits.Handlers}
	return s, nil
}

// Register adds a service with unary methods only. It panics if the name is
// registered already. Services may be added while the server runs.
func (s *Server) Register(name string, methods map[string]Method) {
	s.dispatcher.services.add(name, &ServiceDesc{Methods: methods})
}

// RegisterService adds a service. It panics if the name is registered already, or one
// is that of a method and of a stream. Services may be added while the server runs.
func (s *Server) RegisterService(name string, desc *ServiceDesc) {
	s.dispatcher.services.add(name, desc)
}

// Serve accepts connections from l and answers their calls. It returns ErrServerClosed
// after Shutdown or Close, or the error of l.Accept if that fails for good. It closes l.
// Serve may be called for several listeners.
//
// The handlers' contexts derive from ctx. When ctx ends they end, and streams drop what
// they have received and RecvMsg has not taken. Serve itself goes on: later calls are
// handled, in contexts that have ended from the start. Shutdown and Close stop it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !s.addListener(&l) {
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	var delay time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			delay = 0
			s.accept(ctx, nc)
			continue
		}
		select {
		case <-s.closing:
			return ErrServerClosed
		default:
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.config.log.Error("ttrpc: accept failed, trying again", "error", err, "after", delay)
		select {
		case <-s.closing:
			return ErrServerClosed
		case <-time.After(delay):
		}
	}
}

// ServeConn answers the calls that come on conn, and returns when the connection has
// ended. It owns conn from then on. It does not matter which end has dialled: the client
// is the end where NewClient or Dial runs. The handshaker is asked first. The handlers'
// contexts derive from ctx, and the end of ctx closes the connection.
//
// It returns nil if the client has closed the connection, or a handler has by its
// [PeerClient]; ErrServerClosed after the server's Shutdown or Close; ctx.Err() if that
// has ended; else the error of the handshake, the transport or the protocol. Handlers may
// still run then; their contexts have ended.
//
// A server cannot tell a client that makes no calls from another server, which waits for
// calls as well. With [WithExtensionsRequired] it waits no longer than the handshake
// timeout. If both ends are clients, the first call of either ends the connection: the
// status of that call says why, and so does [Client.Cause] of the client that got it.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	gone := make(chan struct{})
	c, err := s.begin(ctx, conn, s.goneThen(gone))
	if err != nil {
		return err
	}
	defer afterFunc(ctx, func() { c.close(errOf(ctx)) })()
	<-gone
	switch cause := c.why(); cause {
	case io.EOF:
		return nil
	case ErrClosed:
		select {
		case <-s.closing:
			return ErrServerClosed
		default:
			return nil
		}
	default:
		return cause
	}
}

// goneThen returns what removes a connection and then closes a channel.
func (s *Server) goneThen(gone chan struct{}) func(*conn) {
	return func(c *conn) {
		s.removeConnection(c)
		close(gone)
	}
}

// accept starts the connection on nc, or closes it.
func (s *Server) accept(ctx context.Context, nc net.Conn) {
	if _, err := s.begin(ctx, nc, s.gone); err != nil {
		s.refused.tell(s.config.log.Warn, "ttrpc: connection refused", "reason", err)
	}
}

// begin starts the connection on nc, or closes it and says why. gone is called when the
// connection has ended, and removes it.
func (s *Server) begin(ctx context.Context, nc net.Conn, gone func(*conn)) (*conn, error) {
	if s.config == nil {
		nc.Close()
		return nil, ErrServerClosed
	}
	c := newConn(roleServer, nc, &s.config.connConfig)
	c.handshakes = s.config.shake != nil
	c.host, c.hooks, c.gone = s.host, &s.hooks, gone
	crowded, err := s.addConnection(c)
	if err != nil {
		nc.Close()
		return nil, err
	}
	if crowded != nil {
		s.unshaken.tell(s.config.log.Error, "ttrpc: connection refused", "error", errCrowdedOut)
		crowded.close(errCrowdedOut)
	}
	if c.handshakes {
		go s.config.shake(s, ctx, c, nc)
	} else {
		c.base = withPeer(ctx, c, nc, nil)
		c.start(nc)
	}
	return c, nil
}

// serve runs a call, on the reader's goroutine if that is worth it.
func (s *Server) serve(call *serverCall) (reads bool) {
	if s.config.newGoroutines {
		call.arrives()
		go s.runAlone(call)
		return true
	}
	if call.soon && !call.parked && s.dispatcher.route(call) == nil && call.method != nil {
		if served, reads := call.conn.serveHere(call, s.dispatcher.run); served {
			return reads
		}
	}
	call.arrives()
	s.workers.start(call)
	return true
}

// Shutdown ends the server in order. It accepts no more connections, lets the calls that
// have reached it finish, sends their answers, and closes each connection when it has no
// call left. Later calls are answered with Unavailable. In extended mode handlers may still
// call their clients, but a call back to the server, made while such a call runs, is a later one,
// unless the server had calls of its own under way on the connection. It returns nil when all
// connections are closed, or ctx.Err() if ctx ends first; then Shutdown may be called
// again, or Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	listeners := s.stopLocked()
	if s.empty == nil {
		s.empty = make(chan struct{})
		s.emptyLocked()
	}
	empty := s.empty
	conns := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	closeAll(listeners)
	for _, c := range conns {
		c.drain()
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return errOf(ctx)
	}
}

// Close ends the server at once: it closes the listeners and all connections,
// and does not wait for handlers, whose contexts end. It may be called again.
// The error is that of closing a listener.
func (s *Server) Close() error {
	s.mu.Lock()
	listeners := s.stopLocked()
	conns := slices.Collect(maps.Keys(s.connections))
	s.mu.Unlock()
	err := closeAll(listeners)
	for _, c := range conns {
		c.close(ErrServerClosed)
	}
	return err
}

// stopLocked stops accepting. It returns the listeners, which the caller
// closes without locks.
func (s *Server) stopLocked() []*net.Listener {
	if s.stopping || s.config == nil {
		return nil
	}
	s.stopping = true
	close(s.closing)
	s.workers.stop()
	listeners := slices.Collect(maps.Keys(s.listeners))
	clear(s.listeners)
	return listeners
}

// closeAll returns the first error.
func closeAll(listeners []*net.Listener) (err error) {
	for _, l := range listeners {
		if e := (*l).Close(); err == nil {
			err = e
		}
	}
	return err
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.config == nil {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
}

// emptyLocked tells Shutdown when no connection is left.
func (s *Server) emptyLocked() {
	if s.empty == nil || len(s.connections) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}
