// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

const (
	// maxShaking is how many clients of a socket may shake hands or wait for Accept. When a
	// quarter of them do, the others have to prove their address first.
	maxShaking = 512

	// drain is how long a socket lives on after its last connection, to say that it has
	// ended to who has not heard it.
	drain = 100 * time.Millisecond
)

var errBusy = errors.New("too many clients shake hands")

// A socket is a quic-go Transport of this package's own, which ends after its last connection.
type socket struct {
	quicgo.Transport
	owned bool // Conn ends with it

	mu sync.Mutex

	// Guarded by mu.
	conns   int // those that have not ended
	shaking int // of these, those that nobody has accepted
	leaving bool
}

func newSocket(conn net.PacketConn, owned bool) *socket {
	s := &socket{owned: owned}
	s.Conn, s.ConnContext, s.VerifySourceAddress = conn, s.enter, s.doubts
	return s
}

// A ticket is what a connection has that came to a socket.
type ticket struct {
	*socket
	accepted bool // guarded by mu
}

type ticketKey struct{}

// enter is told of a client that begins to shake hands.
func (s *socket) enter(ctx context.Context, _ *quicgo.ClientInfo) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shaking >= maxShaking {
		return nil, errBusy
	}
	s.conns++
	s.shaking++
	t := &ticket{socket: s}
	context.AfterFunc(ctx, t.leave)
	return context.WithValue(ctx, ticketKey{}, t), nil
}

func (s *socket) doubts(net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shaking >= maxShaking/4
}

// accept says that a connection waits no more.
func (t *ticket) accept() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.accepted {
		t.accepted = true
		t.shaking--
	}
}

// leave is called when a connection has ended.
func (t *ticket) leave() {
	t.accept()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns--
	if t.leaving && t.conns == 0 {
		time.AfterFunc(drain, t.end)
	}
}

// close ends the socket when its last connection has.
func (s *socket) close() {
	s.mu.Lock()
	idle := s.conns == 0 && !s.leaving
	s.leaving = true
	s.mu.Unlock()
	if idle {
		s.end()
	}
}

func (s *socket) end() {
	_ = s.Transport.Close()
	if s.owned {
		_ = s.Conn.Close()
	}
}
