// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A ServiceRegisterFunc registers a service of a client, as the generated function does:
//
//	func(r grpc.ServiceRegistrar) { pb.RegisterNamerServer(r, namer{}) }
//
// It may register more than one. S is not used.
type ServiceRegisterFunc[S any] func(registrar grpc.ServiceRegistrar)

// ServeClientService has a ClientConn answer calls of its server's, on this and all later
// connections, with the services that register adds. It returns nil when shutdown was closed
// and the calls that ran then have finished, or when the ClientConn was closed. It may run
// more than once at a time, with other services. Else it returns why it cannot serve:
// a service is served already; the server's [Pool] has refused the client; or the connection
// has ended and there will be no other.
func ServeClientService[C any](shutdown <-chan struct{}, conn *ClientConn, register ServiceRegisterFunc[C]) error {
	services := new(registrar)
	register(services)
	if err := conn.reverse.add(services); err != nil {
		return err
	}
	defer conn.reverse.remove(services)
	return conn.serve(shutdown)
}

// ServeReverse is ServeClientService with a gRPC server of the caller's, which may have any
// options but Creds of its own. The ClientConn can serve nothing else meanwhile. It stops the
// server when it returns; and it returns when the server was stopped.
func (c *ClientConn) ServeReverse(server *grpc.Server) error {
	l := newListener(nil)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		defer l.Close()
		_ = server.Serve(l)
	}()
	defer server.Stop()
	if err := checkCreds(l, stopped); err != nil {
		return err
	}
	if err := c.reverse.lend(server, l); err != nil {
		return err
	}
	defer c.reverse.takeBack(server)
	return c.serve(stopped)
}

var errClosed = status.Error(codes.Canceled, "brpc: the ClientConn is closed")

// A registrar notes services, for servers that are made later.
type registrar struct{ services []service }

type service struct {
	desc *grpc.ServiceDesc
	impl any
}

// RegisterService implements grpc.ServiceRegistrar.
func (r *registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	r.services = append(r.services, service{desc, impl})
}

// grace bounds how long a gRPC server whose services have changed goes on with its calls.
const grace = 30 * time.Second

// A reverse is how a client answers calls. A gRPC server takes no service once it serves, so
// there is a new one whenever services come or go; the old one tells the peer to open the next
// tunnel, and finishes its calls. That of a client without services answers Unimplemented.
type reverse struct {
	options []grpc.ServerOption
	ready   chan struct{} // closed at the first services, or when begun is over

	mu sync.Mutex

	// Guarded by mu.
	registrars []*registrar
	server     *grpc.Server
	tunnels    *listener
	lent       bool // server is a user's
	stopped    bool
	readyOnce  sync.Once
}

// settling is how long calls wait for the first services of a ClientConn, since it was made:
// it may be about to serve on a goroutine that has not run yet.
const settling = 100 * time.Millisecond

func newReverse(o *options) *reverse {
	r := &reverse{
		options: append([]grpc.ServerOption{grpc.Creds(Credentials())}, o.server...),
		ready:   make(chan struct{}),
	}
	time.AfterFunc(settling, r.settle)
	return r
}

func (r *reverse) settle() { r.readyOnce.Do(func() { close(r.ready) }) }

// newServer returns the ttrpc server that accepts tunnels at a client.
func (r *reverse) newServer() (*ttrpc.Server, error) {
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions())
	if err != nil {
		return nil, err
	}
	remote := func(ctx context.Context) (*addr, error) {
		p, ok := ttrpc.PeerFromContext(ctx)
		if !ok {
			return nil, errNoCall
		}
		return p.AuthInfo.(*addr), nil
	}
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		openMethod: opened(remote, r.take),
	}})
	return server, nil
}

// take hands a tunnel to the server of the time.
func (r *reverse) take(ctx context.Context, t *tunnel) error {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		l, last := r.current()
		if err := l.hand(ctx, t); err != errStopped || last {
			return err
		}
	}
}

// current returns where tunnels go, and whether that will not change.
func (r *reverse) current() (l *listener, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil && !r.stopped {
		r.replaceLocked()
	}
	return r.tunnels, r.stopped || r.lent
}

// add serves more services.
func (r *reverse) add(more *registrar) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return errClosed
	case r.lent:
		return errors.New("brpc: the ClientConn serves by a server of the user's")
	}
	names := make(map[string]bool)
	for _, of := range append(slices.Clone(r.registrars), more) {
		for _, s := range of.services {
			if names[s.desc.ServiceName] {
				return fmt.Errorf("brpc: the service %s is served already", s.desc.ServiceName)
			}
			names[s.desc.ServiceName] = true
		}
	}
	r.registrars = append(r.registrars, more)
	r.replaceLocked()
	r.settle()
	return nil
}

// remove serves them no more, and returns when their calls have finished.
func (r *reverse) remove(services *registrar) {
	r.mu.Lock()
	r.registrars = slices.DeleteFunc(r.registrars, func(s *registrar) bool { return s == services })
	retired := r.replaceLocked()
	r.mu.Unlock()
	<-retired
}

// lend has a user's server get the tunnels.
func (r *reverse) lend(server *grpc.Server, l *listener) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return errClosed
	case r.lent || len(r.registrars) > 0:
		return errors.New("brpc: the ClientConn serves already")
	}
	retire(r.server)
	r.server, r.tunnels, r.lent = server, l, true
	r.settle()
	return nil
}

func (r *reverse) takeBack(server *grpc.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lent = false
	r.replaceLocked()
}

// replaceLocked makes a server of what is registered now. The channel is closed when the old
// one has finished.
func (r *reverse) replaceLocked() <-chan struct{} {
	if r.stopped {
		return retire(nil)
	}
	old := r.server
	r.server, r.tunnels = grpc.NewServer(r.options...), newListener(nil)
	for _, of := range r.registrars {
		for _, s := range of.services {
			r.server.RegisterService(s.desc, s.impl)
		}
	}
	go r.server.Serve(r.tunnels)
	return retire(old)
}

// retire has a server finish its calls.
func retire(old *grpc.Server) <-chan struct{} {
	done := make(chan struct{})
	if old == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer time.AfterFunc(grace, old.Stop).Stop()
		old.GracefulStop()
	}()
	return done
}

// end has no server take any more tunnels, and returns the last.
func (r *reverse) end() *grpc.Server {
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.tunnels == nil {
		r.tunnels = newListener(nil)
	}
	r.tunnels.Close()
	return r.server
}

// stop ends the calls that run.
func (r *reverse) stop() {
	if server := r.end(); server != nil {
		server.Stop()
	}
}

// drain lets the calls finish that run.
func (r *reverse) drain() { <-retire(r.end()) }
