// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
	"weak"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// An endpoint is the sessions of a server, or of a client, and the service by which their
// peers reach them.
type endpoint struct {
	opts *options

	mu       sync.Mutex
	sessions map[uint64]*Session
	last     uint64
}

// endpoints are those of clients, by weak.Pointer[ttrpc.Client]; byPeer are the sessions by
// the *ttrpc.Client that handlers' contexts lead to.
var endpoints, byPeer sync.Map

// handshakeTimeout bounds how long a session takes to begin.
const handshakeTimeout = 10 * time.Second

var errNilConn = errors.New("libchan: the connection is nil")

// WithSessions is the option of a client that [Over] needs. The client answers the calls by
// which the server opens channels to it. It implies [ttrpc.WithExtensions] and takes the place
// of [ttrpc.WithClientServices]: other services that the client has are given by [WithServices].
func WithSessions(opts ...Option) ttrpc.ClientOpts {
	o := newOptions(opts)
	return func(c *ttrpc.Client) {
		home := newEndpoint(o)
		server := o.services
		if server == nil {
			server, _ = ttrpc.NewServer()
		}
		home.register(server)
		ttrpc.WithClientServices(server)(c)
		if o.files > 0 {
			ttrpc.WithClientLimits(ttrpc.Limits{Files: o.files})(c)
		}
		key := weak.Make(c)
		endpoints.Store(key, home)
		runtime.AddCleanup(c, func(key weak.Pointer[ttrpc.Client]) { endpoints.Delete(key) }, key)
	}
}

// Register has a server take part in sessions with its clients, beside its other services.
// The server must have been made with [ttrpc.WithServerExtensions].
func Register(server *ttrpc.Server, opts ...Option) error {
	if server == nil {
		return errors.New("libchan: the server is nil")
	}
	if !ttrpc.TakesExtensions(server) {
		return errors.New("libchan: the server was made without ttrpc.WithServerExtensions, which sessions need")
	}
	o := newOptions(opts)
	if o.services != nil || o.ownFiles {
		return errors.New("libchan: WithServices or WithFiles was given to Register: the server has its own services and limits")
	}
	newEndpoint(o).register(server)
	return nil
}

func newEndpoint(o *options) *endpoint {
	return &endpoint{opts: o, sessions: map[uint64]*Session{}}
}

func (h *endpoint) register(server *ttrpc.Server) {
	stream := func(handler ttrpc.StreamHandler) ttrpc.Stream {
		return ttrpc.Stream{Handler: handler, StreamingClient: true, StreamingServer: true}
	}
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{"Meet": h.meet},
		Streams: map[string]ttrpc.Stream{"Control": stream(h.control), "Open": stream(h.open)},
	})
}

// Over begins a session on a client's connection, beside its calls. The client must have been
// made with [WithSessions], and its server must have been given to [Register]: the error tells
// which of that is missing.
func Over(client *ttrpc.Client) (*Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	return overWithin(ctx, client)
}

// overWithin is Over, which waits for a connection as long as ctx lasts.
func overWithin(ctx context.Context, client *ttrpc.Client) (*Session, error) {
	home, err := homeOf(client)
	if err != nil {
		return nil, err
	}
	switch extended, err := client.Extended(ctx); {
	case err != nil:
		return nil, fmt.Errorf("libchan: no session: %w", err)
	case !extended:
		return nil, fmt.Errorf("libchan: no session: the server was made without ttrpc.WithServerExtensions: %w", ttrpc.ErrPeerClassic)
	}
	s := newSession(home, 1)
	s.home.add(s)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := s.begin(ctx, client); err != nil {
		err = fmt.Errorf("libchan: no session: %w", err)
		s.end(err, true)
		return nil, err
	}
	return s, nil
}

// homeOf returns the sessions of a client.
func homeOf(client *ttrpc.Client) (*endpoint, error) {
	if client == nil {
		return nil, errors.New("libchan: the client is nil")
	}
	home, ok := endpoints.Load(weak.Make(client))
	if !ok {
		return nil, errors.New("libchan: the client was made without libchan.WithSessions")
	}
	return home.(*endpoint), nil
}

// begin opens the control stream and waits for the peer's hello. If it fails it leaves no
// stream.
func (s *Session) begin(ctx context.Context, client *ttrpc.Client) (err error) {
	lasting, giveUp := context.WithCancel(context.Background())
	begun := context.AfterFunc(ctx, giveUp)
	defer func() {
		if err != nil || !begun() {
			giveUp()
		}
	}()
	hello := wireControl{hello: s.hello(0)}
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	stream, err := client.NewStream(lasting, desc, serviceName, "Control", &ttrpc.RawMessage{Payload: hello.append(nil)})
	if err != nil {
		return err
	}
	var raw ttrpc.RawMessage
	err = stream.RecvMsg(ttrpc.Within(ctx, &raw))
	if status.Code(err) == codes.Unimplemented {
		return fmt.Errorf("the server was not given to libchan.Register: %w", err)
	}
	if err != nil {
		return err
	}
	m, err := parseControl(raw.Payload)
	s.mu.Lock()
	met := s.client
	s.mu.Unlock()
	if err != nil || m.hello == nil || m.hello.answers != s.own || met == nil {
		return errMalformed
	}
	s.control.begin(stream)
	go s.listen(stream)
	go s.follow(met.Draining())
	return nil
}

// hello returns what this side says of itself.
func (s *Session) hello(answers uint64) *wireHello {
	return &wireHello{version: wireVersion, session: s.own, answers: answers, codec: s.opts.codec.Name()}
}

// follow drains the session when its connection begins to end.
func (s *Session) follow(draining <-chan struct{}) {
	select {
	case <-draining:
		s.drain(true)
	case <-s.done:
	}
}

// control handles a control stream: it is the session at the side that was dialled.
func (h *endpoint) control(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	var raw ttrpc.RawMessage
	if err := stream.RecvMsg(&raw); err != nil {
		return nil, err
	}
	m, err := parseControl(raw.Payload)
	if err != nil || m.hello == nil {
		return nil, status.Error(codes.InvalidArgument, errMalformed.Error())
	}
	peer, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(h, 2)
	s.far, s.peers, s.client = m.hello.session, m.hello.codec, peer
	h.add(s)
	defer s.end(io.EOF, true)
	hello := s.hello(m.hello.session)
	meeting, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	var answer ttrpc.RawMessage
	if err := peer.Call(meeting, serviceName, "Meet", &ttrpc.RawMessage{Payload: hello.append(nil)}, &answer); err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "libchan: the client serves no session, for which it needs libchan.WithSessions as its last option of services: %v", err)
	}
	if err := stream.SendMsg(&ttrpc.RawMessage{Payload: (&wireControl{hello: hello}).append(nil)}); err != nil {
		return nil, err
	}
	byPeer.Store(peer, s)
	s.control.begin(stream)
	go s.follow(ttrpc.DrainingFromContext(ctx))
	if h.opts.serve != nil {
		go h.opts.serve(s)
	}
	s.listen(stream)
	return nil, nil
}

// meet handles the call by which the side that was dialled answers.
func (h *endpoint) meet(ctx context.Context, unmarshal func(any) error) (any, error) {
	var raw ttrpc.RawMessage
	if err := unmarshal(&raw); err != nil {
		return nil, err
	}
	hello, err := parseHello(raw.Payload)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	peer, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	s := h.find(hello.answers)
	if s == nil || s.step != 1 {
		return nil, status.Errorf(codes.NotFound, "libchan: no session is called %d", hello.answers)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.far != 0 {
		return nil, status.Error(codes.AlreadyExists, "libchan: the session has begun")
	}
	s.far, s.peers = hello.session, hello.codec
	byPeer.Store(peer, s)
	s.client = peer // of this one connection, if the client has several
	return &ttrpc.RawMessage{}, nil
}

// open handles the stream of a channel.
func (h *endpoint) open(ctx context.Context, stream ttrpc.StreamServer) (any, error) {
	var raw ttrpc.RawMessage
	if err := stream.RecvMsg(&raw); err != nil {
		return nil, err
	}
	o, err := parseOpen(raw.Payload)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	peer, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, err
	}
	s := h.find(o.session)
	if s == nil || !s.isWith(peer) {
		return nil, status.Errorf(codes.NotFound, "libchan: no session is called %d", o.session)
	}
	d, err := ttrpc.Detach(ctx)
	if err != nil {
		return nil, err
	}
	return nil, s.accept(o, d)
}

func (h *endpoint) add(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	s.own = h.last
	h.sessions[s.own] = s
}

func (h *endpoint) remove(s *Session) {
	h.mu.Lock()
	delete(h.sessions, s.own)
	h.mu.Unlock()
	s.mu.Lock()
	peer := s.client
	s.mu.Unlock()
	if peer != nil {
		byPeer.CompareAndDelete(peer, s)
	}
}

// isWith tells whether the session is with that peer.
func (s *Session) isWith(peer *ttrpc.Client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client == peer
}

func (h *endpoint) find(own uint64) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[own]
}

// FromContext returns the session with the peer whose call the context's handler runs.
func FromContext(ctx context.Context) (*Session, error) {
	peer, err := ttrpc.PeerClient(ctx)
	if err != nil {
		return nil, fmt.Errorf("libchan: no session: %w", err)
	}
	if s, ok := byPeer.Load(peer); ok {
		return s.(*Session), nil
	}
	return nil, errors.New("libchan: the peer has begun no session")
}

// NewClient begins a session on a connection that it then owns, whose other end is given to
// [NewServer] or served by a server with [Register]. The connection has the limits that ttrpc
// has by default, and no keep-alive: [Over] is for a client with options of its own.
func NewClient(conn net.Conn, opts ...Option) (*Session, error) {
	if conn == nil {
		return nil, errNilConn
	}
	client := ttrpc.NewClient(conn, WithSessions(opts...))
	s, err := Over(client)
	if err != nil {
		if cause := client.Cause(); errors.Is(err, ttrpc.ErrClosed) && cause != nil {
			err = fmt.Errorf("libchan: no session: the connection has ended: %w", cause)
		}
		_ = client.Close()
		return nil, err
	}
	s.ownConn(client)
	return s, nil
}

// NewServer waits for the session that the other end of a connection begins, by [NewClient] or
// [Over]. It then owns the connection, which is as that of NewClient: [Register] is for a server
// with options of its own.
func NewServer(conn net.Conn, opts ...Option) (*Session, error) {
	if conn == nil {
		return nil, errNilConn
	}
	o := newOptions(opts)
	server, err := ttrpc.NewServer(ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Files: o.files}))
	if err != nil {
		return nil, err
	}
	begun := make(chan *Session, 1)
	if o.services != nil || o.serve != nil {
		return nil, errors.New("libchan: WithServices or WithHandler was given to NewServer, which has one session and no other services")
	}
	o.serve = func(s *Session) {
		select {
		case begun <- s:
		default:
			s.end(errors.New("libchan: the connection has a session"), true)
		}
	}
	newEndpoint(o).register(server)
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(context.Background(), conn) }()
	timeout := time.NewTimer(handshakeTimeout)
	defer timeout.Stop()
	select {
	case s := <-begun:
		s.ownConn(server)
		return s, nil
	case err = <-served:
		if err == nil {
			err = io.EOF // the other end has closed the connection
		}
		err = fmt.Errorf("libchan: no session: the connection has ended: %w", err)
	case <-timeout.C:
		err = fmt.Errorf("libchan: no session: the other end has begun none in %v: %w", handshakeTimeout, context.DeadlineExceeded)
	}
	_ = server.Close()
	return nil, err
}
