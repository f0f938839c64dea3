// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package brpc

import (
	"context"
	"io"
	"maps"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/transport"
)

// ErrClientNotConnected is what calls to a client return, or wrap, whose connection has ended.
// It is a status of code Unavailable.
var ErrClientNotConnected error = notConnected{}

type notConnected struct{}

func (notConnected) Error() string { return "brpc: client not connected" }

// GRPCStatus implements what status.FromError asks for.
func (e notConnected) GRPCStatus() *status.Status { return status.New(codes.Unavailable, e.Error()) }

// A lostError is the error of a call which its connection has not survived. It is a status of
// code Unavailable.
type lostError struct{ error }

func (e lostError) Unwrap() []error { return []error{e.error, ErrClientNotConnected} }

// GRPCStatus implements what status.FromError asks for. What gRPC calls canceled, as its own end
// is closed, is Unavailable to who has not done that.
func (e lostError) GRPCStatus() *status.Status {
	s := status.Convert(e.error)
	if s.Code() == codes.Canceled {
		return status.New(codes.Unavailable, s.Message())
	}
	return s
}

// A session is a connection with a client, as the server knows it.
type session struct {
	core   *core
	remote *addr

	mu      sync.Mutex
	changed sync.Cond // calls has become 0, or gone is true

	// Guarded by mu.
	client *ttrpc.Client                  // calls the peer; nil until the first handler or hook
	conn   *grpc.ClientConn               // nil until the first call
	calls  int                            // to the peer, that run
	serves map[*ttrpc.DetachedStream]bool // what the client has announced itself by
	gone   bool
	oneWay bool // no more calls begin
}

// A greeter is the handshaker of a server: it makes the session of each connection, which
// all its handlers then find as its AuthInfo.
type greeter struct {
	core *core
	user ttrpc.Handshaker
}

// Handshake implements ttrpc.Handshaker.
func (g *greeter) Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
	conn, info, err := shake(ctx, conn, g.user)
	if err != nil {
		return nil, nil, err
	}
	p := newPeer(&ttrpc.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr(), AuthInfo: info})
	s := &session{core: g.core, remote: &addr{peer: p}, serves: make(map[*ttrpc.DetachedStream]bool)}
	s.remote.back, s.changed.L = s, &s.mu
	return conn, s, nil
}

// shake asks the user's handshaker, if there is one, and else the conn, who the peer is.
func shake(ctx context.Context, conn net.Conn, user ttrpc.Handshaker) (net.Conn, any, error) {
	if user != nil {
		return user.Handshake(ctx, conn)
	}
	if c, ok := conn.(transport.Conn); ok {
		return conn, c.AuthInfo(), nil
	}
	return conn, nil, nil
}

// sessionOf returns the session of a ttrpc handler or hook.
func sessionOf(ctx context.Context) (*session, error) {
	p, ok := ttrpc.PeerFromContext(ctx)
	if !ok {
		return nil, errNoCall
	}
	s := p.AuthInfo.(*session)
	client, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = client
	return s, nil
}

// described tells which connection a tunnel is of that a client has opened.
func described(ctx context.Context) (*addr, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	return s.remote, nil
}

// connected is the hook of a connection.
func (c *core) connected(ctx context.Context) {
	s, err := sessionOf(ctx)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.sessions[s] = true
	if c.oneWay {
		s.setOneWay()
	}
	c.mu.Unlock()
	context.AfterFunc(ctx, s.end)
}

// end is called when the connection has ended.
func (s *session) end() {
	s.core.mu.Lock()
	delete(s.core.sessions, s)
	s.core.mu.Unlock()
	s.mu.Lock()
	s.gone = true
	conn := s.conn
	s.changed.Broadcast()
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

func (s *session) setOneWay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oneWay = true
}

// drain waits until no call to the client runs, and closes what they were made on.
func (s *session) drain(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	for s.calls > 0 && !s.gone && ctx.Err() == nil {
		s.changed.Wait()
	}
	conn, serves := s.conn, slices.Collect(maps.Keys(s.serves))
	s.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	for _, a := range serves {
		a.End(nil, nil)
	}
}

// keep notes that the client has announced itself, until that ends.
func (s *session) keep(a *ttrpc.DetachedStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oneWay {
		return errOneWay
	}
	s.serves[a] = true
	context.AfterFunc(a.Context(), func() {
		a.End(nil, nil) // it is the handler's end that the server's waits for
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.serves, a)
	})
	return nil
}

// backConn implements [backer].
func (s *session) backConn() (grpc.ClientConnInterface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, ErrClientNotConnected
	}
	return s, nil
}

// dial opens a tunnel to the client.
func (s *session) dial(ctx context.Context, _ string) (net.Conn, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	stream, cancel, err := openStream(ctx, client)
	if err != nil {
		return nil, err
	}
	return dialed(stream, cancel, s.remote), nil
}

var errOneWay = status.Error(codes.Unavailable, "brpc: the server has stopped, and calls no clients")

// begin returns what to make a call on, which done ends.
func (s *session) begin() (*grpc.ClientConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return nil, ErrClientNotConnected
	case s.oneWay:
		return nil, errOneWay
	}
	if s.conn == nil {
		conn, err := newConn("client", s.dial, s.core.dialOptions)
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	s.calls++
	return s.conn, nil
}

func (s *session) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls--; s.calls == 0 {
		s.changed.Broadcast()
	}
}

// lost returns the error of a call, which tells whether the connection has ended. gRPC says of a
// call that waits for what is closed meanwhile that it is canceled, and nobody has done that.
func (s *session) lost(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := status.Code(err)
	lost := code == codes.Unavailable || code == codes.Canceled && ctx.Err() == nil
	switch {
	case lost && s.gone:
		return lostError{err}
	case lost && s.oneWay && code == codes.Canceled:
		return errOneWay
	}
	return err
}

// Invoke implements grpc.ClientConnInterface.
func (s *session) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := s.begin()
	if err != nil {
		return err
	}
	return s.invoke(ctx, conn, method, args, reply, opts)
}

// invoke makes a call that was begun.
func (s *session) invoke(ctx context.Context, conn *grpc.ClientConn, method string, args, reply any, opts []grpc.CallOption) error {
	defer s.done()
	return s.lost(ctx, conn.Invoke(ctx, method, args, reply, opts...))
}

// NewStream implements grpc.ClientConnInterface.
func (s *session) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := s.begin()
	if err != nil {
		return nil, err
	}
	return s.stream(ctx, conn, desc, method, opts)
}

// stream opens one that was begun.
func (s *session) stream(ctx context.Context, conn *grpc.ClientConn, desc *grpc.StreamDesc, method string, opts []grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		s.done()
		return nil, s.lost(ctx, err)
	}
	context.AfterFunc(stream.Context(), s.done) // gRPC ends it with the stream
	return &sessionStream{stream, s, ctx}, nil
}

// A sessionStream is a stream to a client, which tells whether the connection has ended.
type sessionStream struct {
	grpc.ClientStream
	session *session
	ctx     context.Context // the caller's
}

// Header implements grpc.ClientStream.
func (s *sessionStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.session.lost(s.ctx, err)
}

// RecvMsg implements grpc.ClientStream. The error of SendMsg is io.EOF when the stream has ended.
func (s *sessionStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || err == io.EOF {
		return err
	}
	return s.session.lost(s.ctx, err)
}
