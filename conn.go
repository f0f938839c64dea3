// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
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
	role  role
	cfg   *connConfig
	base  context.Context                // at the server: what handlers' contexts derive from
	serve func(*serverCall) (reads bool) // at the server: runs the call; reads is serveHere's
	gone  func()                         // called once, without locks, when the connection has ended
	calls sync.Pool                      // of *stream: a client's finished unary calls

	handshakes bool // at the server: start comes after a handshake

	total atomic.Int64 // bytes in all inboxes, and of requests that are to be started

	// Set by start. The reader and the writer, each on its side, own it.
	ch *channel

	// Owned by the reader.
	arrived int       // once woken to settle: how much may still have arrived before
	held    int       // how many answers wait for the reader to write them
	first   *frame    // the request of the caller who reads, until he has written it
	wrote   func(int) // c.wroteFirst, made once

	mu sync.Mutex // may be taken while a Server's is held, and held for an inbox's

	// Guarded by mu. unlock acts on what changed.
	nc       net.Conn
	started  bool
	draining bool  // no new streams; the connection ends when it is idle
	settles  bool  // the reader is woken to take what has arrived
	settled  bool  // what had arrived when draining began was read
	cause    error // why the connection ends or has ended, nil before
	closed   bool  // the end has been carried out
	lost     error // why nothing can be written any more, nil before
	lastID   uint32
	streams  map[uint32]*stream // nil when it was never needed, and once closed

	seats // guarded by mu

	// Guarded by mu, for writer.go.
	out     frameQueue
	pushed  uint64    // seq of the last frame that was queued
	popped  uint64    // seq of the last frame that the writer took
	writing bool      // somebody is the writer
	room    sync.Cond // the reader waits for out to shrink; its lock is mu
}

func newConn(r role, nc net.Conn, cfg *connConfig) *conn {
	c := &conn{role: r, nc: nc, cfg: cfg}
	c.room.L = &c.mu
	return c
}

// start begins to read and write on nc, which is the conn given to newConn or
// what a handshake made of it.
func (c *conn) start(nc net.Conn) {
	ch := newChannelSize(nc, c.cfg.maxMessage)
	c.mu.Lock()
	if c.closed { // while the handshake ran
		c.mu.Unlock()
		closeConn(nc)
		return
	}
	c.ch, c.nc, c.started = ch, nc, true
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

// connState tells what a connection is doing.
type connState int

const (
	connStateActive   connState = iota + 1 // it has streams
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
	switch {
	case c.closed:
		return connStateClosed, true
	case c.draining:
		return connStateDraining, c.started
	case len(c.streams) > 0:
		return connStateActive, c.started
	}
	return connStateIdle, c.started
}

// unlock is the one door through which the connection's state changes: it
// carries out the end if what changed since Lock asks for it.
func (c *conn) unlock() {
	if c.draining && c.settled && len(c.streams) == 0 && !c.writing && c.cause == nil {
		c.cause = ErrClosed
	}
	if c.cause == nil || c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	streams := c.streams
	c.streams = nil
	for _, s := range streams {
		s.state = stateIdle
		s.opening = nil
		if s.unwatch != nil {
			s.unwatch()
		}
		s.err = ErrClosed
		s.waiting.Broadcast()
	}
	if c.watching {
		c.watch.Stop()
	}
	if c.role == roleClient && c.seat == seatVacant { // no reader will find out
		c.ch.idle()
	}
	c.popped = c.pushed
	c.out.releaseAll()
	c.room.Broadcast()
	nc, cause := c.nc, c.cause
	c.mu.Unlock()

	closeConn(nc)
	for _, s := range streams {
		s.connEnded(cause)
	}
	if c.gone != nil {
		c.gone()
	}
}

// closeConn closes nc; in the background if that may take time, as TLS does.
func closeConn(nc net.Conn) {
	switch nc.(type) {
	case *net.UnixConn, *net.TCPConn:
		nc.Close()
	default:
		go nc.Close()
	}
}

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
	defer c.mu.Unlock()
	if c.cause == nil {
		return c.lost
	}
	return c.cause
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
// deadline wakes it. What deadlines do on conns that are no kernel sockets
// nobody knows (B43); they settle after a grace.
func (c *conn) wakeReaderLocked(grace time.Duration) {
	if c.ch.socket == nil {
		time.AfterFunc(grace, c.settle)
		return
	}
	c.settles = true
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

// settleGrace is how long a conn that is no kernel socket has to hand over what has
// arrived before draining began.
const settleGrace = 100 * time.Millisecond

// open puts a stream of ours into the table, with the next id, and its request,
// which it then owns, into the queue: ids rise in the order in which frames are
// written. It reports whether the caller must call readFor.
func (c *conn) open(s *stream, request *frame) (reads bool, err error) {
	c.mu.Lock()
	if c.closed || c.draining || c.lost != nil || c.cause != nil {
		c.mu.Unlock()
		request.release()
		return false, ErrClosed
	}
	if c.lastID == 0 {
		c.lastID = 1
	} else {
		c.lastID += 2
	}
	if c.lastID == 1<<32-1 { // ids are used up (B45)
		c.draining, c.settled = true, true
	}
	s.id = c.lastID
	c.addLocked(s)
	putStreamID(request.data, s.id)
	request.stream, s.opening = s, request
	reads = c.started && c.sitLocked(s)
	switch lead := c.pushLocked(request); {
	case lead && reads && c.writesFirstLocked():
		c.unlock()
	case lead:
		c.unlockAndLead(1)
	default:
		c.unlock()
	}
	return reads, nil
}

// acceptLocked opens a stream of the peer's, or says why not. It unlocks, and
// reports whether the goroutine still is the reader.
func (c *conn) acceptLocked(f *frame) bool {
	limit := c.cfg.maxHandlers
	switch {
	case c.draining && c.settled:
		c.replyLocked(f.header.StreamID, status.New(codes.Unavailable, ErrServerClosed.Error()))
	case limit > 0 && len(c.streams) >= limit:
		c.replyLocked(f.header.StreamID, status.Newf(codes.ResourceExhausted, "ttrpc: more than %d concurrent calls on the connection", limit))
	case c.opensWithRoomLocked(f):
		call := newServerCall(c, f)
		c.addLocked(&call.stream)
		c.unlock()
		return c.serve(call)
	}
	c.unlock()
	f.release()
	return true
}

// opensWithRoomLocked makes room for the request of a stream, for which it lets go
// of the lock. It reports whether the connection lasts.
func (c *conn) opensWithRoomLocked(f *frame) bool {
	if acceptedState(f.header.Flags) != stateUnary && c.isOverCap(f.cost()) {
		c.mu.Unlock()
		c.makeRoom(f.cost())
		c.mu.Lock()
	}
	return !c.closed
}

func (c *conn) addLocked(s *stream) {
	if c.streams == nil {
		c.streams = make(map[uint32]*stream)
	}
	c.streams[s.id] = s
}

// removeLocked takes a stream out of the table.
func (c *conn) removeLocked(s *stream) {
	delete(c.streams, s.id)
	c.withdrawLocked(s)
	s.state = stateIdle
	s.waiting.Broadcast()
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	if !s.unary {
		s.inbox.uncount()
	}
}

// fail ends a stream with err, unless it has ended.
func (c *conn) fail(s *stream, err error) {
	c.mu.Lock()
	defer c.unlock()
	if s.isActive() {
		c.failLocked(s, err)
	}
}

// failLocked ends a stream with err. A client withdraws what the writer has
// not taken yet; if the request had left, the server is not told, for classic
// ttrpc has no word for it, and what it still sends is dropped. A server tells
// the peer, by the stream's terminal frame (B40); the entry then stays until
// the handler has returned.
func (c *conn) failLocked(s *stream, err error) {
	s.err = err
	if c.role == roleServer {
		s.state = stateEnded
		st := statusOf(err)
		if err == ErrStreamFull {
			st = status.New(codes.ResourceExhausted, err.Error())
		}
		c.replyLocked(s.id, st)
		s.waiting.Broadcast()
		s.call.cancel(err)
		s.inbox.close(err, true)
		return
	}
	c.removeLocked(s)
	if s.done != nil {
		s.done <- struct{}{}
		return
	}
	s.inbox.close(err, true)
}

// connEnded tells a stream that its connection ended. The table has forgotten
// it already. What had arrived may still be received, unless we closed (B19).
func (s *stream) connEnded(cause error) {
	switch {
	case s.call != nil:
		s.call.cancel(cause)
		s.inbox.close(context.Canceled, true)
	case s.done != nil:
		s.done <- struct{}{}
	default:
		s.inbox.close(ErrClosed, cause == ErrClosed)
		s.inbox.uncount()
	}
}
