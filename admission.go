// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"sync"
	"time"
)

var (
	errTooManyConnections = errors.New("ttrpc: too many connections")
	errCrowdedOut         = errors.New("ttrpc: the handshake was cut off: too many connections shake hands")
)

// An admission is what a server knows of its connections. Those that shake hands count
// apart: anybody can make them, and so they must not keep out those that are through. There
// may be as many of them, and of more than that the one that has taken longest is cut off.
// It is guarded by the server's mu.
type admission struct {
	connections map[*conn]struct{}
	shaking     []*conn // those that shake hands, in the order in which they came
}

// addConnection admits a connection, to its handshake if there is to be one, or says why not.
// crowded, if it is not nil, is to be closed in its favour.
func (s *Server) addConnection(c *conn) (crowded *conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.config.limits.Connections
	switch {
	case s.stopping:
		return nil, ErrServerClosed
	case c.handshakes:
		if limit > 0 && len(s.shaking) >= limit {
			crowded = s.shaking[0]
			s.endShakingLocked(crowded)
			delete(s.connections, crowded)
		}
		s.shaking = append(s.shaking, c)
	case limit > 0 && len(s.connections) >= limit:
		return nil, errTooManyConnections
	}
	s.connections[c] = struct{}{}
	return crowded, nil
}

// shaken admits a connection whose handshake is over, or says why not.
func (s *Server) shaken(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.endShakingLocked(c) { // it was cut off, or has ended
		return errCrowdedOut
	}
	limit := s.config.limits.Connections
	if limit > 0 && len(s.connections)-len(s.shaking) > limit {
		return errTooManyConnections
	}
	return nil
}

// endShakingLocked reports whether the connection was among those that shake hands, where it
// is no longer.
func (s *Server) endShakingLocked(c *conn) bool {
	for i, other := range s.shaking {
		if other == c {
			last := copy(s.shaking[i:], s.shaking[i+1:]) + i
			s.shaking[last] = nil
			s.shaking = s.shaking[:last]
			return true
		}
	}
	return false
}

// removeConnection forgets a connection.
func (s *Server) removeConnection(c *conn) {
	s.mu.Lock()
	delete(s.connections, c)
	s.endShakingLocked(c)
	s.emptyLocked()
	s.mu.Unlock()
}

// countConnection returns how many connections the server holds.
func (s *Server) countConnection() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.connections)
}

// refusalPause is how often the logger is told of connections that are refused.
const refusalPause = time.Second

// A refusals sees to it that whoever makes connections that are refused does not fill the
// log: there is one line in a while, which tells how many others there were.
type refusals struct {
	mu   sync.Mutex
	next time.Time // when there may be one again
	left int       // how many were not told of
}

// tell calls log, unless it was called not long ago, with args and how many times it was not.
func (r *refusals) tell(log func(string, ...any), msg string, args ...any) {
	at := time.Now()
	r.mu.Lock()
	left, tells := r.left, !at.Before(r.next)
	r.left++
	if tells {
		r.left, r.next = 0, at.Add(refusalPause)
	}
	r.mu.Unlock()
	if !tells {
		return
	}
	if left > 0 {
		args = append(args, "more", left)
	}
	log(msg, args...)
}
