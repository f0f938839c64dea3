// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sort"
	"time"
)

// A ConnSnapshot is what a connection looked like at one moment, for a debug page. It is
// consistent in itself.
type ConnSnapshot struct {
	ID       uint64 // as in ConnInfo
	Server   bool   // this side is the server, whoever dialled
	Peer     *Peer  // nil before the handshake is over; shared, it must not be changed
	State    string // "active", "idle", "draining" or "closed"
	Cause    string // why it has ended, else empty
	Extended bool   // it is in extended mode
	Files    bool   // it can pass files

	MaxMessage   int // bytes
	QueuedFrames int // how many wait to be written
	QueuedBytes  int // their memory
	Received     int // bytes that were received and not yet consumed, on all streams

	// How calls and streams have ended: those that this side made, and the peer's.
	Made   CallCounts
	Served CallCounts

	// In extended mode, credit in bytes. What is held of messages is at most WindowsMost,
	// CallsMost and one message.
	SendCredit  int // what may be sent of requests and answers
	RecvCredit  int // what the peer may send of them
	Calls       int // what is held of them: of those that have come in part, or are parked
	CallsMost   int
	Windows     int // what the streams may hold of messages
	WindowsMost int
	Parked      int // how many calls of the peer's wait until it reads
	Waiting     int // how many streams wait for credit for a large message
	Arriving    int // how many of its requests have come in part
	HeldFiles   int // how many of its open files nobody has taken yet, or are not closed yet

	Streams []StreamSnapshot // by id
}

// A StreamSnapshot is what a call or stream looked like at one moment.
type StreamSnapshot struct {
	ID         uint32
	FullMethod string // "/package.Service/Method"; empty if it is not known yet
	Served     bool   // this side runs the handler; else it is the caller
	Unary      bool
	Detached   bool   // the handler has returned and kept the stream, see Detach
	State      string // as PROTOCOL.md calls it
	Messages   int    // how many were received and not yet consumed
	Bytes      int    // their memory

	Start    time.Time // when it was opened or arrived; may be some 20 ms early
	Deadline time.Time // zero if there is none, or it is not known yet

	// What was sent and received since then, the request included, consumed or not.
	Sent     Volume
	Received Volume

	// In extended mode, of a stream that is not unary.
	SendCredit int
	RecvCredit int
	Window     int // what the peer may have sent that is not consumed
	Held       int // what it has
}

// Snapshot tells what the client's connection looks like now. That of the zero Client is
// closed. A client made by [Dial] shows the connection that takes calls; if there is none,
// State is "closed" and Cause says why.
func (c *Client) Snapshot() ConnSnapshot {
	if c.via == nil {
		return ConnSnapshot{State: connStateClosed.String()}
	}
	conn, absent := c.via.connection()
	if conn == nil {
		return ConnSnapshot{State: connStateClosed.String(), Cause: absent.Error()}
	}
	return conn.snapshot()
}

// peer returns the other end, or nil before the handshake is over.
func (c *conn) peer() *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peerLocked()
}

// peerLocked returns the other end, or nil before the handshake is over.
func (c *conn) peerLocked() *Peer {
	if !c.started {
		return nil
	}
	if c.base == nil { // a client without what needs one
		return &Peer{Addr: c.nc.RemoteAddr(), LocalAddr: c.nc.LocalAddr()}
	}
	return c.info().Peer
}

// Snapshot tells what the server's connections look like now, in the order in which they
// came. Each is consistent in itself; they are looked at one after the other.
func (s *Server) Snapshot() []ConnSnapshot {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.connections))
	for c := range s.connections {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	sort.Sort(connsByNumber(conns))
	all := make([]ConnSnapshot, len(conns))
	for i, c := range conns {
		all[i] = c.snapshot()
	}
	return all
}

// A snapshotter is a mode that adds what it knows.
type snapshotter interface {
	snapshotLocked(*ConnSnapshot)
	snapshotStreamLocked(*stream, *StreamSnapshot)
}

func (c *conn) snapshot() ConnSnapshot {
	c.mu.Lock()
	snap, cause := c.snapshotLocked(), c.cause
	c.mu.Unlock()
	if cause != nil {
		snap.Cause = cause.Error()
	}
	return snap
}

func (c *conn) snapshotLocked() ConnSnapshot {
	state, _ := c.getStateLocked()
	snap := ConnSnapshot{
		ID: c.number, Server: c.role == roleServer, State: state.String(),
		MaxMessage: c.messageLimit(), QueuedFrames: c.out.count, QueuedBytes: c.out.bytes,
		Made: c.made.orNone(), Served: c.served.orNone(),
	}
	snap.Peer = c.peerLocked()
	if m, ok := c.mode.(snapshotter); ok {
		m.snapshotLocked(&snap)
	}
	for _, s := range c.streams {
		one := s.snapshotLocked()
		snap.Received += one.Bytes
		snap.Streams = append(snap.Streams, one)
	}
	sort.Sort(streamsByID(snap.Streams))
	return snap
}

func (s *stream) snapshotLocked() StreamSnapshot {
	snap := StreamSnapshot{ID: s.id, FullMethod: s.fullMethod(), Served: s.call != nil, Unary: s.unary, State: s.state.String()}
	if s.call != nil {
		snap.Detached = s.call.isDetached()
	}
	snap.Start, snap.Sent, snap.Received = epoch.Add(s.opened), s.sent, s.received
	if s.call != nil {
		snap.Deadline = s.call.endsAt()
	} else {
		snap.Deadline = s.about.deadline
	}
	snap.Messages, snap.Bytes = s.inbox.holds()
	if m, ok := s.conn.mode.(snapshotter); ok {
		m.snapshotStreamLocked(s, &snap)
	}
	return snap
}

// fullMethod names the stream's method, if that is known.
func (s *stream) fullMethod() string {
	if s.call != nil {
		return s.call.fullMethod()
	}
	return fullPath(s.about.service, s.about.method)
}

// These sort without generics: each instance of those is 15 KB more in every program.
type (
	connsByNumber []*conn
	streamsByID   []StreamSnapshot
)

func (s connsByNumber) Len() int           { return len(s) }
func (s connsByNumber) Less(i, j int) bool { return s[i].number < s[j].number }
func (s connsByNumber) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

func (s streamsByID) Len() int           { return len(s) }
func (s streamsByID) Less(i, j int) bool { return s[i].ID < s[j].ID }
func (s streamsByID) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
