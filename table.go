// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "context"

// refusal is the error of calls that come too late, or of which nothing was written
// before the connection's end.
func (c *conn) refusal() error {
	if err := c.hooks.refusal; err != nil {
		return err
	}
	return ErrClosed
}

// mayOpenLocked says why the stream cannot be opened.
func (c *conn) mayOpenLocked(s *stream) error {
	if c.mode != nil && !c.closed { // afterwards it is as with all connections (B1)
		if err := c.mode.mayOpenLocked(s); err != nil {
			return err
		}
	}
	switch {
	case c.closed || c.lost != nil || c.cause != nil || c.lastID >= 1<<32-2:
		return c.refusal()
	case c.role == roleServer && c.mode == nil:
		return ErrPeerClassic
	case c.draining && c.accepted == 0: // the peer's calls may still need ours
		return c.refusal()
	}
	return nil
}

// open puts a stream of ours into the table, with the next id, and its request,
// which it then owns, into the queue: ids rise in the order in which frames are
// written. It reports whether the caller must call readFor.
func (c *conn) open(ctx context.Context, s *stream, request *frame) (reads bool, err error) {
	c.mu.Lock()
	err = c.mayOpenLocked(s)
	if err != nil && c.parted { // a peer that ends may still serve what its own calls need
		m := c.mode
		c.mu.Unlock()
		callsBack := m.callsBack(ctx)
		c.mu.Lock()
		s.callsBack = callsBack
		err = c.mayOpenLocked(s)
	}
	if err != nil {
		c.madeLocked().Refused++
		c.mu.Unlock()
		request.release()
		return false, err
	}
	c.lastID = c.nextID()
	if c.lastID >= 1<<32-2 { // ids are used up (B45)
		c.draining, c.settled = true, true
	}
	s.id = c.lastID
	s.opened, s.sent, s.received = c.clockLocked(), Volume{}, Volume{}
	s.sent.add(request.flags(), len(request.data)-messageHeaderLength, 1)
	c.addLocked(s)
	putStreamID(request.data, s.id)
	request.owner, s.opening = s, request
	reads = c.started && c.sitLocked(s)
	switch lead := c.pushForLocked(s, request); {
	case lead && reads && c.writesFirstLocked():
		c.unlock()
		c.traceSent(c.first)
	case lead:
		c.unlockAndLead(1, false)
	default:
		c.unlock()
	}
	return reads, nil
}

// nextID is the id of the next stream that this end opens.
func (c *conn) nextID() uint32 {
	switch {
	case c.lastID != 0:
		return c.lastID + 2
	case c.role == roleClient:
		return 1
	}
	return 2
}

func (c *conn) addLocked(s *stream) {
	if c.streams == nil {
		c.streams = make(map[uint32]*stream)
	}
	c.streams[s.id] = s
	c.crowded = c.crowded || len(c.streams) > 1
	if s.call != nil {
		c.accepted++
	}
	if c.mode != nil {
		c.mode.addedLocked(s)
	}
}

// oursLocked returns the streams that this end has opened and that can still end, with ids
// above after and up to upTo. It looks at no more than so many ids, or at the table if that
// is shorter, so who asks for ever other ids does not make it look at all each time.
func (c *conn) oursLocked(after, upTo uint32) (found []*stream) {
	add := func(s *stream) {
		if s != nil && s.call == nil && s.isActive() {
			found = append(found, s)
		}
	}
	switch ids := int((upTo - after) / 2); {
	case upTo == after || c.accepted == len(c.streams):
	case ids < len(c.streams):
		for id := upTo; id > after; id-- {
			add(c.streams[id])
		}
	default:
		for _, s := range c.streams {
			if s.id > after && s.id <= upTo {
				add(s)
			}
		}
	}
	return found
}

// removeLocked takes a stream out of the table.
func (c *conn) removeLocked(s *stream) {
	delete(c.streams, s.id)
	switch {
	case s.call != nil:
		c.accepted--
	case c.mode == nil:
		c.withdrawLocked(s)
	}
	s.state = stateIdle
	s.waiting.Broadcast()
	c.receiverGoesLocked(s)
	if stop := s.unwatch; stop != nil { // which asks the context, a user's
		s.unwatch = nil
		c.after = append(c.after, func() { stop() })
	}
	if !s.unary {
		s.inbox.uncount()
	}
	if c.mode != nil {
		c.mode.freedLocked(s, true)
	}
}

// fail ends a stream with err, unless it has ended.
func (c *conn) fail(s *stream, err error) {
	c.mu.Lock()
	if s.isActive() {
		c.failLocked(s, err)
	}
	c.unlock()
}

// giveUpCall ends a stream whose caller's context has ended.
func (c *conn) giveUpCall(ctx context.Context, s *stream) {
	err := errOf(ctx) // the context may be a user's, so it is asked without the lock
	c.mu.Lock()
	m := c.mode
	c.mu.Unlock()
	if m != nil {
		err = m.gaveUp(ctx)
	}
	c.fail(s, err)
}

// failLocked ends a stream with err. Who opened it withdraws what the writer has
// not taken yet; if the request had left, the peer is told in extended mode only,
// for classic ttrpc has no word for it, and what it still sends is dropped. Who
// accepted it tells the peer, see callee.
func (c *conn) failLocked(s *stream, err error) {
	s.err = err
	c.countsLocked(s).addError(err)
	if c.mode != nil {
		c.mode.failingLocked(s, err)
	}
	if s.call != nil {
		s.call.failLocked(err)
		return
	}
	c.removeLocked(s)
	if s.done != nil {
		s.done <- struct{}{}
		return
	}
	c.streamEndsLocked(s, nil, err)
	s.inbox.close(err, true)
}

// streamEndsLocked tells the trace, if there is one, that a stream ends.
func (c *conn) streamEndsLocked(s *stream, answer *frame, err error) {
	if c.cfg.trace != nil && c.base != nil {
		c.cfg.trace.streamEndsLocked(s, answer, err)
	}
}

// connEnded tells a stream that its connection ended. The table has forgotten
// it already. What had arrived may still be received, unless we closed (B19).
func (s *stream) connEnded(cause error) {
	switch {
	case s.call != nil:
		s.call.connEnded(cause)
	case s.done != nil:
		s.done <- struct{}{}
	default:
		s.inbox.close(ErrClosed, cause == ErrClosed)
		s.inbox.uncount()
	}
}
