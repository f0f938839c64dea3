// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A Session carries the channels between two peers on one ttrpc connection, beside its
// calls. Its methods may be used concurrently.
type Session struct {
	// Immutable once the session is in use.
	opts    *options
	home    *endpoint
	own     uint64     // what this side calls it
	step    uint64     // of ids: the first is 1 on the side that has dialled, else 2
	over    *interrupt // fires at the end
	done    chan struct{}
	drained chan struct{}
	control control
	noFiles atomic.Bool // the connection passes none

	// Immutable once the peer has been met, by which mu is taken.
	client *ttrpc.Client // opens streams, and is what handlers' contexts lead to
	far    uint64        // what the peer calls the session
	peers  string        // the codec of the peer's messages that name none

	mu        sync.Mutex
	cause     error
	owned     io.Closer // what ends with the session, or nil
	isDrained bool
	shut      bool            // by this side
	told      bool            // the peer knows that the session drains
	streams   uint64          // of channels that this side has opened, and none that was refused
	handled   uint64          // and those that it has taken of the peer's
	idle      wireIdle        // what the peer was told last
	peerIdle  *wireIdle       // and what it has told
	channels  map[uint64]*far // by id: what is announced, or has a stream
	lastID    uint64
	opened    uint64 // new channels that this side has opened
	accepted  uint64 // of these, those that the peer has accepted
	changed   chan struct{}
	backlog   []arrival     // new channels of the peer's that nobody has accepted
	arrived   chan struct{} // closed when there is another; nil if nobody waits

	buffered int           // bytes in queues of channels that the peer has not attached
	room     chan struct{} // closed when there is room for more; nil if nobody waits
}

// An arrival is a new channel of the peer's.
type arrival struct {
	name string
	c    *channel
}

// maxBacklog is how many new channels may wait to be accepted.
const maxBacklog = 1000

func newSession(home *endpoint, step uint64) *Session {
	s := &Session{
		opts: home.opts, home: home, step: step,
		done: make(chan struct{}), drained: make(chan struct{}), channels: map[uint64]*far{},
	}
	s.over = newInterrupt()
	s.control.s = s
	return s
}

// Done returns a channel that is closed when the session has ended. Cause tells why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Cause tells why the session has ended: [ErrClosed] if this side has closed it, io.EOF if the
// peer has, or what happened to the connection. It is nil while the session lasts.
func (s *Session) Cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// Draining returns a channel that is closed when either side begins to shut the session or its
// connection down: it opens no more channels, and ends with the last.
func (s *Session) Draining() <-chan struct{} { return s.drained }

// NewSendChannel implements [Transport]. It waits while the peer has 1,000 channels to
// accept.
func (s *Session) NewSendChannel() (Sender, error) {
	c, err := s.OpenChannel(context.Background(), "")
	if err != nil {
		return nil, err // no nil that is none
	}
	return c, nil
}

// OpenChannel is NewSendChannel for a channel with a name, which the peer's Accept returns.
// If the peer does not want a channel of that name, Send returns why.
func (s *Session) OpenChannel(ctx context.Context, name string) (ContextSender, error) {
	if err := s.awaitBacklog(ctx); err != nil {
		return nil, err
	}
	c := newChannel(-1)
	f := &far{s: s, c: c, side: receiving, id: s.newID(), name: name, isNew: true}
	c.sides[receiving] = edge{place: placeOffered, far: f}
	c.mu.Lock()
	c.sending = true
	c.openLocked(receiving)
	c.sending = false
	err := c.stopped
	c.unlock()
	if err != nil {
		return nil, err
	}
	return newSender(c, 1), nil
}

// WaitReceiveChannel implements [Transport].
func (s *Session) WaitReceiveChannel() (Receiver, error) {
	_, r, err := s.Accept(context.Background())
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Accept waits for the next channel that the peer opens, and returns its name.
func (s *Session) Accept(ctx context.Context) (name string, r ContextReceiver, err error) {
	first, err := s.nextArrival(ctx)
	if err != nil {
		return "", nil, err
	}
	return first.name, newReceiver(first.c, ref{first.c, receiving}.claim()), nil
}

// nextArrival takes the next channel out of the backlog, for which it waits.
func (s *Session) nextArrival(ctx context.Context) (arrival, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.backlog) == 0 {
		if s.cause != nil {
			return arrival{}, sessionError(s.cause)
		}
		if s.arrived == nil {
			s.arrived = make(chan struct{})
		}
		if err := s.waitLocked(ctx, s.arrived); err != nil {
			return arrival{}, err
		}
	}
	first := s.backlog[0]
	s.backlog[0] = arrival{}
	s.backlog = s.backlog[1:]
	s.control.acceptedLocked()
	if s.isDrained {
		go s.endIfDrained()
	}
	return first, nil
}

// waitLocked waits until ch is closed, ctx ends or the session does.
func (s *Session) waitLocked(ctx context.Context, ch chan struct{}) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-ch:
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// awaitBacklog waits until the peer has room for one more new channel, which it takes.
func (s *Session) awaitBacklog(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.cause != nil:
			return sessionError(s.cause)
		case s.isDrained:
			return ErrDraining
		case s.opened-s.accepted < maxBacklog:
			s.opened++
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		if err := s.waitLocked(ctx, s.changed); err != nil {
			return err
		}
	}
}

// changedLocked wakes who waits for a change of the session.
func (s *Session) changedLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Close ends the session at once, and its connection if that was made for it. What waits
// anywhere returns. What was sent and not received may be lost, which Shutdown waits for.
func (s *Session) Close() error {
	s.end(ErrClosed, true)
	return nil
}

// Shutdown ends the session in order: neither side opens more channels, those that there are
// go on until they end, and then it returns nil. A channel ends when its receiver has received
// the end, or takes no more. If ctx ends first, the error wraps that of ctx and tells how many
// channels this side has yet. Then Shutdown may be called again, or Close.
func (s *Session) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	s.drain(true)
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("libchan: %d channels of the session have not ended: %w", len(s.channels)+len(s.backlog), ctx.Err())
	}
}

// drain has the session end with its last channel, and tells the peer if that does not know.
func (s *Session) drain(tell bool) {
	s.mu.Lock()
	if !s.isDrained {
		s.isDrained = true
		close(s.drained)
		s.changedLocked()
	}
	tell = tell && !s.told
	s.told = s.told || tell
	var all []*far
	for _, f := range s.channels {
		all = append(all, f)
	}
	s.mu.Unlock()
	for _, f := range all {
		f.c.watchEnd() // it may have been refused, and nobody knows
	}
	if tell {
		s.control.drain()
	}
	s.endIfDrained()
}

// endIfDrained tells the peer if the session drains and has no channel at this side. It ends
// the session if the peer has told the same, and nothing is under way.
func (s *Session) endIfDrained() {
	s.mu.Lock()
	if !s.isDrained || s.cause != nil || len(s.channels) > 0 || len(s.backlog) > 0 {
		s.mu.Unlock()
		return
	}
	idle := wireIdle{s.streams, s.handled}
	tell := idle != s.idle || idle == wireIdle{}
	s.idle = idle
	over := s.peerIdle != nil && *s.peerIdle == wireIdle{idle.handled, idle.opened}
	s.mu.Unlock()
	if tell || over {
		s.control.isIdle(idle)
	}
	if over {
		s.end(io.EOF, true)
	}
}

// hasShutDown tells whether this side has shut the session down, and has no channel left.
func (s *Session) hasShutDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut && len(s.channels) == 0
}

// end ends the session. With discard nothing more is received, else what has arrived is.
func (s *Session) end(cause error, discard bool) {
	s.mu.Lock()
	if s.cause != nil {
		s.mu.Unlock()
		return
	}
	if cause == io.EOF && s.shut {
		cause = ErrClosed
	}
	s.cause = cause
	var all []*far
	for _, f := range s.channels {
		all = append(all, f)
	}
	clear(s.channels)
	backlog := s.backlog
	if discard {
		s.backlog = nil
	} else {
		backlog = nil
	}
	close(s.done)
	if !s.isDrained {
		s.isDrained = true
		close(s.drained)
	}
	s.changedLocked()
	s.wakeRoomLocked()
	owned := s.owned
	s.mu.Unlock()
	s.home.remove(s)
	s.control.end() // first: what follows is no report of what was taken
	for _, f := range all {
		f.c.lose(f, sessionError(cause), discard)
	}
	for _, a := range backlog {
		a.c.abandon(receiving)
	}
	s.over.fire()
	if owned != nil {
		_ = owned.Close()
	}
}

// own has the connection end with the session.
func (s *Session) ownConn(conn io.Closer) {
	s.mu.Lock()
	s.owned = conn
	over := s.cause != nil
	s.mu.Unlock()
	if over {
		_ = conn.Close()
	}
}

// lose ends a side beyond a session that has ended.
func (c *channel) lose(f *far, why error, discard bool) {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case f.side == receiving:
		if c.stopped == nil {
			c.stopped = why
		}
		c.stopWritingLocked()
	case c.sides[sending].place == placeAttached && !discard:
		c.lost = why
	default:
		// Whoever sends there has not ended, and must not be told that all was taken.
		if c.sides[sending].place == placeAttached {
			c.after = append(c.after, func() { f.cut(why) })
		}
		c.moveLocked(sending, stepEnd)
		c.closedLocked(why)
	}
	if f.side == sending {
		c.stopReadingLocked()
	}
}

// errorOf returns what an error of a stream means to who uses the channel.
func (s *Session) errorOf(err error) error {
	if cause := s.Cause(); cause != nil {
		return sessionError(cause)
	}
	if cause := s.client.Cause(); cause != nil {
		return sessionError(cause)
	}
	if errors.Is(err, ErrSessionEnded) || errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, net.ErrClosed) {
		return sessionError(err)
	}
	if errors.Is(err, context.Canceled) { // of a stream only the end of its connection, or session, is one
		return sessionError(io.ErrUnexpectedEOF)
	}
	if err == nil || err == io.EOF {
		return ErrClosed
	}
	if own := (*peerError)(nil); errors.As(err, &own) {
		return err
	}
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		return errorOf(st.Proto())
	}
	return fmt.Errorf("libchan: %w", err)
}
