// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"cmp"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A conn is one connection. It looks the same from both ends; the role decides
// who opens streams. One goroutine reads; whoever has a frame and finds nobody
// writing writes it, together with what others queue meanwhile (writer.go).
type conn struct {
	// Immutable once started.
	role role
	cfg  *connConfig
	base context.Context // what handlers' contexts derive from
	host host            // answers the peer's calls; nil at a client that answers none, before there is a mode
	gone func(*conn)     // called once, without locks, when the connection has ended

	hooks *connHooks

	// twoClientsLocked is at a client conn.refuseClientLocked, so that servers do not link it.
	twoClientsLocked func(*conn, *frame) bool

	// firstAnsweredLocked is at a client conn.answeredFirstLocked, for the same reason.
	firstAnsweredLocked func(c *conn, f *frame, act action)

	number uint64 // counts the connections of the process

	handshakes bool // at the server: start comes after a handshake

	total atomic.Int64 // bytes in all inboxes, and of requests that are to be started
	limit atomic.Int64 // how large a message may be

	// Set by start. The reader and the writer, each on its side, own it.
	ch *channel

	// Owned by the reader.
	offer   extension // may yet begin the mode with the peer's first request; else nil
	arrived int       // once woken to settle: how much may still have arrived before
	deep    bool      // another goroutine must read, because this one's stack has grown

	mu sync.Mutex // may be taken while a Server's is held, and held for an inbox's

	// Guarded by mu. unlock acts on what changed.
	nc       net.Conn
	started  bool
	draining bool  // no new streams of the peer's; the connection ends when it is idle
	settles  bool  // the reader is woken to take what has arrived
	woken    bool  // it was before, by a deadline of a conn that is not the kernel's
	settled  bool  // what had arrived when draining began was read
	closed   bool  // the end has been carried out
	cause    error // why the connection ends or has ended, nil before
	lost     error // why nothing can be written any more, nil before
	blame    error // the cause, if it is that the peer is not what it has to be
	lastID   uint32
	accepted int                // how many streams in the table are the peer's
	streams  map[uint32]*stream // nil when it was never needed, and once closed
	parted   bool               // the peer has said goodbye
	user     any                // for PeerClient: a client's *link, or the *Client made of it or for a server
	mode     mode               // beyond classic ttrpc, or nil
	after    []func()           // to be called once mu is released
	heeds    *listeners         // who is told that it leaves or ends; nil if nobody is
	made     *CallCounts        // of the calls that this end made; nil if there were none
	served   *CallCounts        // of the peer's

	seating // who reads; see seat.go

	// Guarded by mu, for writer.go.
	out     frameQueue
	pushed  uint64     // seq of the last frame that was queued
	popped  uint64     // seq of the last frame that the writer took
	writing bool       // somebody is the writer
	room    *sync.Cond // the reader waits for out to shrink; nil if it never had to
}

func newConn(r role, nc net.Conn, cfg *connConfig) *conn {
	c := &conn{role: r, nc: nc, cfg: cfg, hooks: &noHooks, number: lastNumber.Add(1)}
	c.limit.Store(int64(min(cfg.limits.MessageSize, messageLengthCap)))
	return c
}

// start begins to read and write on nc, which is the conn given to newConn or
// what a handshake made of it.
func (c *conn) start(nc net.Conn) {
	c.ch = newChannelSize(nc, c.messageLimit())
	if c.cfg.extends != nil {
		c.cfg.extends.start(c)
	}
	if c.ch.more == nil {
		c.ch.takeRights(false)
	}
	if t := c.cfg.trace; t != nil && c.base != nil {
		t.connBegins(c)
	}
	c.mu.Lock()
	if c.closed { // while the handshake ran
		c.mu.Unlock()
		closeConn(nc)
		c.ch.ended()
		return
	}
	c.nc, c.started = nc, true
	lead := c.out.head != nil
	c.writing = lead
	if c.draining {
		c.settleLocked()
	}
	c.unlock()
	if lead {
		go c.writeOut(nil, 0)
	}
	go c.readLoop()
}

// connHooks is what a server's connections, or a client, have beside options.
type connHooks struct {
	maxHandlers int   // 0 means no cap
	refusal     error // what refusal returns, if not ErrClosed
}

var noHooks connHooks

// connState tells what a connection is doing.
type connState int

const (
	connStateActive   connState = iota + 1 // it has streams, or a request has come in part
	connStateIdle                          // it has none
	connStateDraining                      // it ends when its streams have
	connStateClosed
)

func (s connState) String() string {
	switch s {
	case connStateActive:
		return "active"
	case connStateIdle:
		return "idle"
	case connStateDraining:
		return "draining"
	case connStateClosed:
		return "closed"
	}
	return "unknown"
}

// getState derives the state; it is false before the connection has started.
func (c *conn) getState() (connState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.getStateLocked()
}

func (c *conn) getStateLocked() (connState, bool) {
	switch {
	case c.closed:
		return connStateClosed, true
	case c.draining:
		return connStateDraining, c.started
	case len(c.streams) > 0 || c.expectsLocked():
		return connStateActive, c.started
	}
	return connStateIdle, c.started
}

// unlock is the one door through which the connection's state changes: it
// carries out the end if what changed since Lock asks for it.
func (c *conn) unlock() {
	if c.draining && c.settled {
		if c.mode != nil {
			c.mode.settledLocked()
		}
		if c.cause == nil && len(c.streams) == 0 && !c.writing && !c.expectsLocked() {
			c.cause = ErrClosed
		}
	}
	if c.heeds != nil && c.heeds.leaves != nil && c.isLeavingLocked() {
		c.after, c.heeds.leaves = append(c.after, c.heeds.leaves...), nil
	}
	switch {
	case c.cause != nil && !c.closed:
		c.endAndUnlock()
	case c.after != nil:
		c.unlockAfter()
	default:
		c.mu.Unlock()
	}
}

// endAndUnlock carries out the end of the connection.
func (c *conn) endAndUnlock() {
	c.closed = true
	if c.blame != nil {
		c.cause = c.blame
	}
	if c.mode != nil {
		c.mode.droppedLocked()
	}
	streams := c.streams
	c.streams = nil
	for _, s := range streams {
		c.countEndLocked(s)
		s.state, s.err = stateIdle, ErrClosed
		if s.done != nil && s.opening != nil {
			s.err = c.refusal()
		}
		s.opening, s.queued = nil, siblings{}
		s.waiting.Broadcast()
		c.streamEndsLocked(s, nil, ErrClosed)
	}
	c.endSeatLocked()
	c.popped = c.pushed
	c.out.releaseAll()
	c.tellRoomLocked()
	nc, cause, after, heeds := c.nc, c.cause, c.after, c.heeds
	var more framing
	if c.started {
		more = c.ch.more
	}
	c.after, c.heeds = nil, nil
	c.mu.Unlock()

	if more != nil {
		more.closing(c.ch)
	}
	closeConn(nc)
	for _, s := range streams {
		if s.unwatch != nil { // which nobody sets any more
			s.unwatch()
		}
		s.connEnded(cause)
	}
	for _, f := range after {
		f()
	}
	if heeds != nil {
		for _, f := range heeds.ends {
			f(cause)
		}
	}
	if c.gone != nil {
		c.gone(c)
	}
}

// unlockAfter unlocks, and calls what was to be called then.
func (c *conn) unlockAfter() {
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// onEnd has f called once the connection has ended, with the cause: at once if it has.
func (c *conn) onEnd(f func(cause error)) {
	c.mu.Lock()
	closed, cause := c.closed, c.cause
	if !closed {
		l := c.listenersLocked()
		l.ends = append(l.ends, f)
	}
	c.mu.Unlock()
	if closed {
		f(cause)
	}
}

// expectsLocked tells whether a request has come in part.
func (c *conn) expectsLocked() bool { return c.mode != nil && c.mode.expectsLocked() }

// close ends the connection now. The first cause stands.
func (c *conn) close(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.unlock()
}

// why returns what ended the connection, or is about to, or nil.
func (c *conn) why() error {
	c.mu.Lock()
	why := cmp.Or(c.cause, c.blame, c.lost)
	c.mu.Unlock()
	return why
}

// refuseLocked ends the connection, for the peer is not what it has to be. Its request
// gets the reason as an answer, if that can be written soon.
func (c *conn) refuseLocked(request *frame, why error) {
	for _, s := range c.streams {
		c.failLocked(s, ErrClosed)
	}
	c.replyLocked(request.header.StreamID, status.New(codes.FailedPrecondition, why.Error()))
	c.blame, c.draining, c.settled = why, true, true
	c.warnLocked("ttrpc: connection ended", "error", why)
	time.AfterFunc(lostPeerGrace, func() { c.close(why) })
}

// warnLocked has the logger warned, and told who the peer is, once the lock is released: the
// logger and the conn are the user's.
func (c *conn) warnLocked(msg string, args ...any) {
	nc := c.nc
	c.after = append(c.after, func() { c.cfg.log.Warn(msg, append(args, "peer", nc.RemoteAddr())...) })
}

// drain lets the calls that have arrived finish, then ends the connection. None
// can have arrived before the end of a handshake.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.draining || c.cause != nil:
		return
	case !c.started && c.handshakes:
		c.cause = ErrServerClosed
		return
	}
	c.draining = true
	if c.started {
		c.settleLocked()
	}
}

// settleLocked has the reader take what has arrived before the connection may
// end. A client has nothing to wait for but its streams.
func (c *conn) settleLocked() {
	if c.role == roleClient {
		c.settled = true
		return
	}
	c.wakeReaderLocked(settleGrace)
}

// wakeReaderLocked has the reader take what has arrived and then call settle: a
// deadline wakes it. What deadlines do on packet conns nobody knows (B43); they settle
// after a grace.
func (c *conn) wakeReaderLocked(grace time.Duration) {
	nc := c.nc
	wake := func() {
		if nc.SetReadDeadline(time.Unix(1, 0)) != nil {
			c.settleAfter(grace)
		}
	}
	switch c.ch.kind {
	case packetConn:
		c.settleAfter(grace)
	case streamConn: // it is the user's
		c.settles, c.woken = true, true
		c.after = append(c.after, wake)
	default:
		c.settles = true
		wake()
	}
}

// settleAfter has settle called though nothing wakes the reader.
func (c *conn) settleAfter(grace time.Duration) {
	time.AfterFunc(grace, func() {
		c.mu.Lock()
		c.settles = false
		c.unlock()
		c.settle()
	})
}

// settleGrace is how long a packet conn has to hand over what has arrived before
// draining began.
const settleGrace = 100 * time.Millisecond

// messageLimit is how large a message may be, in bytes.
func (c *conn) messageLimit() int { return int(c.limit.Load()) }
