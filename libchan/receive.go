// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"io"
)

// take takes the next message, for a handle of that generation.
func (c *channel) take(ctx context.Context, gen uint32) (*message, error) {
	c.mu.Lock()
	defer c.unlock()
	m, seq, err := c.nextLocked(ctx, gen)
	if err == nil {
		c.tookLocked(seq, m.weight())
	}
	return m, err
}

// peek is take of a message that counts as taken only when took is called with its number.
func (c *channel) peek(ctx context.Context, gen uint32) (m *message, seq uint64, err error) {
	c.mu.Lock()
	defer c.unlock()
	return c.nextLocked(ctx, gen)
}

// took takes note that a message was taken, whose references had that weight.
func (c *channel) took(seq uint64, refs int) {
	c.mu.Lock()
	defer c.unlock()
	c.tookLocked(seq, refs)
}

// nextLocked waits for the next message, and returns its number, too.
func (c *channel) nextLocked(ctx context.Context, gen uint32) (*message, uint64, error) {
	if err := c.awaitLocked(ctx, gen); err != nil {
		return nil, 0, err
	}
	m := c.popLocked()
	return m, c.sent - uint64(len(c.queue)), nil
}

// awaitLocked waits until there is something in the queue.
func (c *channel) awaitLocked(ctx context.Context, gen uint32) error {
	for {
		switch {
		case !c.ownsLocked(receiving, gen):
			return ErrGivenAway
		case len(c.queue) > 0 && c.stopped == nil:
			return nil
		case c.closed && c.end == nil:
			return io.EOF
		case c.closed:
			return c.end
		case c.stopped != nil:
			return ErrClosed
		}
		if err := c.fetchLocked(ctx); err != nil {
			return err
		}
	}
}

// fetchLocked waits until there may be something in the queue, or the sender has ended, or
// anything else has changed. Who finds nobody reading from the stream of the sending side does
// that, for one message. The error is that of ctx.
func (c *channel) fetchLocked(ctx context.Context) error {
	tx := &c.sides[sending]
	if c.reading || tx.place != placeAttached && tx.place != placeOffered {
		return c.waitLocked(ctx)
	}
	f := tx.far
	c.reading = true
	if tx.place == placeOffered {
		c.openLocked(sending)
		c.reading = false
		c.changedLocked()
		return nil
	}
	c.in.expect(!c.chunks)
	raw, stop := c.in.tryFirst(), stopNothing
	if ctx != tried && c.lost == nil {
		raw = c.in.wait()
		stop = c.in.waiting.fireWith(ctx)
	}
	c.mu.Unlock()
	err := f.stream.RecvMsg(raw)
	stop()
	c.mu.Lock()
	c.reading = false
	in := c.in.took(c.chunks)
	c.arrivedLocked(f, &in, err)
	c.changedLocked()
	if isTried(err) {
		return ctx.Err()
	}
	return nil
}

// stopReadingLocked has who reads from the stream of the sending side, and waits, look again.
func (c *channel) stopReadingLocked() {
	if c.reading {
		c.in.waiting.fire()
	}
}

// arrivedLocked takes what was read from the stream of the sending side.
func (c *channel) arrivedLocked(f *far, in *incoming, err error) {
	switch {
	case err == nil && in.chunk && !f.ending:
		if f.ending = len(in.raw.Payload) == 0; !f.ending {
			c.pushLocked(&message{chunk: true, body: in.raw.Payload})
		}
	case err == nil:
		m, end, err := f.s.parse(in)
		switch {
		case err != nil:
			c.after = append(c.after, func() { closeFiles(in.files) })
			c.stopped = err
			c.closedLocked(err)
		case end != nil:
			c.closedLocked(end)
		default:
			f.refs = f.refs || len(m.refs) > 0
			c.pushLocked(m)
			if m.closes {
				m.closes = false // which is not for where it may be passed on to
				c.closedLocked(nil)
			}
		}
	case err == io.EOF && f.ending:
		c.closedLocked(errMalformed)
	case err == io.EOF:
		c.closedLocked(nil)
	case isTried(err):
		if c.lost != nil {
			c.closedLocked(c.lost)
		}
	default:
		if f.opened != nil {
			c.after = append(c.after, func() { f.settled(err) })
		}
		c.closedLocked(f.s.errorOf(err))
	}
}

// closedLocked ends what is sent.
func (c *channel) closedLocked(end error) {
	if !c.closed {
		c.closed, c.end = true, end
	}
}

// cancel takes no more, and has the sender know why.
func (c *channel) cancel(gen uint32, cause error) error {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case !c.ownsLocked(receiving, gen):
		return ErrGivenAway
	case c.stopped == nil && !(c.closed && len(c.queue) == 0):
		c.stopped = cause
		c.stopReadingLocked()
	}
	return nil
}

// readyChan returns a channel that is closed once take would not wait. If it was asked for by
// Ready, nobody says when it is of no more use.
func (c *channel) readyChan(asked bool) <-chan struct{} {
	c.mu.Lock()
	defer c.unlock()
	c.asked = c.asked || asked
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	ready := c.ready
	c.prefetchLocked()
	return ready
}

// prefetchLocked has a goroutine read the next message into the queue, if it comes by a
// session. It decodes nothing.
func (c *channel) prefetchLocked() {
	tx := &c.sides[sending]
	if len(c.queue) > 0 || c.closed || c.stopped != nil || c.reading || tx.place != placeAttached && tx.place != placeOffered {
		return
	}
	gen := c.sides[receiving].gen
	go func() {
		c.mu.Lock()
		defer c.unlock()
		for len(c.queue) == 0 && !c.closed && c.stopped == nil && (c.ready != nil || c.done[receiving] != nil) && c.sides[receiving].gen == gen {
			_ = c.fetchLocked(context.Background()) // which ends with the session, too
		}
	}()
}
