// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/containerd/ttrpc"
)

// A ServerConfig is what NewServer makes a Server of. C is the type of the clients by which
// the server's handlers call the service of whoever has called them.
type ServerConfig[C any] struct {
	// ClientServiceBuilder makes a client, and is usually a generated constructor.
	ClientServiceBuilder func(grpc.ClientConnInterface) C

	// Server has the server's own services. Whatever options it has work as ever, but Creds:
	// those may only be [Credentials]. By default a server with these is made.
	Server *grpc.Server

	// ClientOptions are those of the connections by which the server calls its clients:
	// interceptors, for example.
	ClientOptions []grpc.DialOption

	// ServerOptions are those of the ttrpc server below, such as keep-alive, a trace and
	// limits. A handshaker is a field of its own.
	ServerOptions []ttrpc.ServerOpt

	// Handshaker is asked about each connection before anything else: TLS for unix or TCP
	// sockets is ttrpctls.ServerHandshaker. Who the peer is handlers learn from [PeerInfo].
	Handshaker ttrpc.Handshaker

	// Pool gets the clients that serve, if it is not nil.
	Pool *Pool

	// Grace bounds GracefulStop; 30 s by default.
	Grace time.Duration
}

// A Server answers gRPC calls on connections on which it also makes calls. It is meant to be
// embedded in the implementation of a service. Its methods may be used concurrently.
type Server[C any] struct {
	*grpc.Server

	// Logger gets what the server has to tell beside errors that it returns. It may be set
	// until the first Serve, and is slog.Default() if nil.
	Logger *slog.Logger

	build func(grpc.ClientConnInterface) C
	core  *core
}

// NewServer returns a server that serves nothing yet.
func NewServer[C any](config ServerConfig[C]) *Server[C] {
	if config.Server == nil {
		config.Server = grpc.NewServer(grpc.Creds(Credentials()))
	}
	if config.Grace <= 0 {
		config.Grace = 30 * time.Second
	}
	s := &Server[C]{Server: config.Server, build: config.ClientServiceBuilder}
	s.core = &core{
		grpc:        config.Server,
		dialOptions: config.ClientOptions,
		pool:        config.Pool,
		grace:       config.Grace,
		listeners:   make(map[net.Listener]bool),
		sessions:    make(map[*session]bool),
		served:      make(chan struct{}),
	}
	s.core.tunnels = newListener(s.core.closeListeners)
	s.core.ttrpc, s.core.wrong = s.core.newServer(config.ServerOptions, config.Handshaker, lateLogger{&s.Logger})
	return s
}

// ServeListener serves the connections that l accepts: of a unix socket, TCP, a websocket, or
// any other that ttrpc runs over. It returns nil after GracefulStop, Shutdown or Stop; else the
// error of l.Accept, if that fails for good, or what is wrong with the server's options. The end
// of ctx stops the server, and is then the error. It may be called for several listeners, and
// closes l.
//
// A gRPC server that was stopped serves no more, so that to stop the grpc.Server ends this one.
func (s *Server[C]) ServeListener(ctx context.Context, l net.Listener) error {
	defer l.Close()
	return s.core.serve(ctx, func() error { return s.core.listen(ctx, l) })
}

// ServeConn serves one connection, which it owns from then on, and returns when that has
// ended. It does not matter which end has dialled. The end of ctx ends the connection.
func (s *Server[C]) ServeConn(ctx context.Context, conn net.Conn) error {
	if err := s.core.start(); err != nil {
		conn.Close()
		return err
	}
	err := s.core.ttrpc.ServeConn(ctx, conn)
	if errors.Is(err, ttrpc.ErrServerClosed) {
		return nil
	}
	return err
}

// Snapshot tells what the connections look like now, with their tunnels, for a debug page.
func (s *Server[C]) Snapshot() []ttrpc.ConnSnapshot {
	if s.core.ttrpc == nil {
		return nil
	}
	return s.core.ttrpc.Snapshot()
}

// ClientFromContext returns a client of the peer whose call a handler with this context runs.
// It may be used until the connection ends, also after the handler has returned. Its calls are
// Unimplemented if the peer serves nothing.
//
// The error is [ErrClientNotConnected] if the connection has ended, or says that the context
// is not that of a call to this server.
func (s *Server[C]) ClientFromContext(ctx context.Context) (client C, err error) {
	a, ok := addrOf(ctx)
	if !ok {
		return client, errNoCall
	}
	if of, ok := a.back.(*session); !ok || of.core != s.core {
		return client, errNoCall
	}
	if s.build == nil {
		return client, errors.New("brpc: the server has no ClientServiceBuilder")
	}
	conn, err := a.back.backConn()
	if err != nil {
		return client, err
	}
	return s.build(conn), nil
}

// ClientFromContext returns what newClient, usually a generated constructor, makes of the
// connection of the call that a handler runs. So a handler calls any number of its peer's
// services, at either end:
//
//	namer, err := brpc.ClientFromContext(ctx, pb.NewNamerClient)
//
// The errors are those of the method of [Server].
func ClientFromContext[C any](ctx context.Context, newClient func(grpc.ClientConnInterface) C) (client C, err error) {
	a, ok := addrOf(ctx)
	if !ok {
		return client, errNoCall
	}
	conn, err := a.back.backConn()
	if err != nil {
		return client, err
	}
	return newClient(conn), nil
}

var errNoCall = errors.New("brpc: the context is not that of a call which came through a tunnel")

// A core is a server without its type parameter.
type core struct {
	grpc        *grpc.Server
	ttrpc       *ttrpc.Server
	wrong       error // with the options
	dialOptions []grpc.DialOption
	pool        *Pool
	grace       time.Duration
	tunnels     *listener

	starting sync.Once
	served   chan struct{} // closed when the gRPC server has stopped
	refused  error         // set by starting

	mu sync.Mutex

	// Guarded by mu.
	listeners map[net.Listener]bool
	sessions  map[*session]bool
	stopping  bool // accepts no more
	oneWay    bool // begins no more calls to clients
}

// newServer returns the ttrpc server that accepts tunnels.
func (c *core) newServer(opts []ttrpc.ServerOpt, h ttrpc.Handshaker, log ttrpc.Logger) (*ttrpc.Server, error) {
	all := append([]ttrpc.ServerOpt{
		ttrpc.WithServerLogger(log),
		ttrpc.WithServerLimits(ttrpc.Limits{Queue: ttrpc.StreamQueue{Window: window}}),
	}, opts...)
	server, err := ttrpc.NewServer(append(all,
		ttrpc.WithServerExtensions(),
		ttrpc.WithExtensionsRequired(),
		ttrpc.WithServerHandshaker(&greeter{core: c, user: h}),
		ttrpc.WithConnectionHook(c.connected),
	)...)
	if err != nil {
		return nil, err
	}
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		openMethod: opened(described, func(ctx context.Context, t *tunnel) error {
			return c.tunnels.hand(ctx, t)
		}),
		serveMethod: {Handler: c.announced, StreamingClient: true, StreamingServer: true},
	}})
	return server, nil
}

// start has the gRPC server serve tunnels, once.
func (c *core) start() error {
	c.starting.Do(func() {
		if c.refused = c.wrong; c.refused != nil {
			close(c.served)
			return
		}
		go func() {
			defer close(c.served)
			_ = c.grpc.Serve(c.tunnels) // it returns when it was stopped
			c.finish()
		}()
		if c.refused = checkCreds(c.tunnels, c.served); c.refused != nil {
			c.grpc.Stop()
		}
	})
	return c.refused
}

// serve runs f until the server has stopped.
func (c *core) serve(ctx context.Context, f func() error) error {
	if err := c.start(); err != nil {
		return err
	}
	if c.isStopping() {
		return grpc.ErrServerStopped
	}
	defer context.AfterFunc(ctx, c.stop)()
	err := f()
	if c.isStopping() {
		<-c.served
		return ctx.Err()
	}
	return err
}

// listen serves what l accepts.
func (c *core) listen(ctx context.Context, l net.Listener) error {
	c.mu.Lock()
	stopping := c.stopping
	if !stopping {
		c.listeners[l] = true
	}
	c.mu.Unlock()
	if stopping {
		return nil
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, l)
	}()
	return c.ttrpc.Serve(context.WithoutCancel(ctx), l)
}

func (c *core) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// A lateLogger is a logger that may be set after it was given away.
type lateLogger struct{ to **slog.Logger }

func (l lateLogger) logger() *slog.Logger {
	if *l.to != nil {
		return *l.to
	}
	return slog.Default()
}

func (l lateLogger) Debug(msg string, args ...any) { l.logger().Debug(msg, args...) }
func (l lateLogger) Info(msg string, args ...any)  { l.logger().Info(msg, args...) }
func (l lateLogger) Warn(msg string, args ...any)  { l.logger().Warn(msg, args...) }
func (l lateLogger) Error(msg string, args ...any) { l.logger().Error(msg, args...) }
