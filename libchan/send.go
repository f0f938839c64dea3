// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/ttrpc"
)

// put sends a message, whose handle has that generation. If sent is false it certainly was
// not sent, and is the caller's.
func (c *channel) put(ctx context.Context, gen uint32, m *message) (sent bool, err error) {
	closes := m.closes
	c.mu.Lock()
	defer c.unlock()
	for {
		if err := c.awaitTurnLocked(ctx, gen, m); err != nil {
			return false, err
		}
		if rx := &c.sides[receiving]; c.pumping || rx.place != placeAttached && rx.place != placeOffered {
			c.pushLocked(m.own())
			c.closed = c.closed || closes
			break
		}
		c.closed = c.closed || closes
		err := c.writeLocked(ctx, m)
		if err == nil {
			break
		}
		c.closed = c.closed && !closes // it was not sent, and so has closed nothing
		// An interrupt may be late, and meant for the one who has waited before.
		if err == errAgain && c.mayPutLocked(gen) == nil {
			err = ctx.Err()
		}
		if err != nil && err != errAgain {
			return false, err
		}
	}
	if c.capacity != 0 {
		return true, nil
	}
	c.changedLocked()
	c.awaited = m
	n := c.sent
	switch err = c.awaitTakenLocked(ctx, gen, n); {
	case c.taken >= n:
		err = nil // and another may wait already
	case c.awaited != m:
		return false, c.stopped
	}
	if c.awaited == m {
		c.awaited = nil
	}
	return true, err
}

// awaitTurnLocked waits until a message can be queued or written.
func (c *channel) awaitTurnLocked(ctx context.Context, gen uint32, m *message) error {
	for {
		err := c.mayPutLocked(gen)
		if err != nil || !c.sending && c.hasRoomLocked(m) {
			return err
		}
		if err := c.waitToPutLocked(ctx); err != nil {
			return err
		}
	}
}

// mayPutLocked returns why nothing can be sent, or nil.
func (c *channel) mayPutLocked(gen uint32) error {
	switch {
	case !c.ownsLocked(sending, gen):
		return ErrGivenAway
	case c.stopped != nil:
		return c.stopped
	case c.closed:
		return ErrClosed
	}
	return nil
}

// hasRoomLocked tells whether the sender of a message need not wait for the receiver. What
// is written to a stream is held back by the stream.
func (c *channel) hasRoomLocked(m *message) bool {
	switch rx := &c.sides[receiving]; {
	case c.capacity >= 0 && c.sent-c.taken >= uint64(max(1, c.capacity)):
		return false
	case len(m.refs) > 0 && c.open >= maxUnclaimed:
		return false
	case len(c.queue) == 0, c.capacity >= 0 && c.buffers == nil:
		return true
	case c.buffers != nil && !c.buffers.hasRoom():
		return false
	default:
		return c.capacity >= 0 || c.bytes < queueBytes || rx.place == placeAttached && !c.pumping
	}
}

// waitToPutLocked waits for a change that may make room.
func (c *channel) waitToPutLocked(ctx context.Context) error {
	c.watchLocked()
	if c.buffers == nil || len(c.queue) == 0 || c.buffers.hasRoom() {
		return c.waitLocked(ctx)
	}
	return c.waitLocked(ctx, c.buffers.roomChan())
}

// awaitTakenLocked waits until the receiver has taken as many messages.
func (c *channel) awaitTakenLocked(ctx context.Context, gen uint32, n uint64) error {
	for c.taken < n {
		switch {
		case c.stopped != nil:
			return errors.Join(ErrUnconfirmed, c.stopped)
		case c.closed:
			return errors.Join(ErrUnconfirmed, ErrClosed)
		case !c.ownsLocked(sending, gen):
			return errors.Join(ErrUnconfirmed, ErrGivenAway)
		}
		c.watchLocked()
		if err := c.waitLocked(ctx); err != nil {
			return errors.Join(ErrUnconfirmed, err)
		}
	}
	return nil
}

// errAgain tells that a write or read was given up, because ctx has ended or something has
// changed.
var errAgain = errors.New("libchan: interrupted")

// writeLocked sends a message by the stream of the receiving side, which it opens if need
// be. The caller has made sure that nobody else does. With an error the message was not
// sent; errAgain tells that nothing is wrong with the stream.
func (c *channel) writeLocked(ctx context.Context, m *message) error {
	f := c.sides[receiving].far
	isNew := c.sides[receiving].place == placeOffered
	seq := c.sent - uint64(len(c.queue))
	if !c.pumping {
		seq++
	}
	c.sending = true
	m.closes = c.closed && c.end == nil && len(c.queue) == 0 && !m.chunk && f.detached == nil
	c.mu.Unlock()
	err := f.send(ctx, c, m, isNew)
	c.mu.Lock()
	c.sending = false
	if err != nil {
		return c.writeFailedLocked(ctx, f, err)
	}
	f.isLast = m.closes
	if !c.pumping {
		c.sent++
	}
	if len(m.refs) > 0 && c.taken < seq {
		weight := m.weight()
		c.claims = append(c.claims, claim{seq, m.ids, weight})
		if c.open += weight; f.isFinal {
			c.unclaimedLocked(f.s)
		}
	}
	if c.open > 0 || c.done[sending] != nil {
		c.watchLocked()
	}
	return nil
}

// writeFailedLocked says what a failed write means. If the receiver has ended the stream its
// report is to come, which says why.
func (c *channel) writeFailedLocked(ctx context.Context, f *far, err error) error {
	var big *ttrpc.OversizedMessageErr
	if err == errAgain || errors.As(err, &big) || errors.Is(err, errUnfit) {
		return err
	}
	if err == io.EOF && f.opened != nil {
		c.watchLocked()
	} else {
		if err == io.EOF { // only with its session does whoever opened this to receive give it up
			err = sessionError(err)
		}
		c.partedLocked(f, err)
	}
	c.sending = true // so that nothing is done meanwhile about a message that was not sent
	defer func() { c.sending = false }()
	for c.stopped == nil {
		if c.waitLocked(ctx) != nil {
			return errAgain
		}
	}
	return c.stopped
}

// send sends a message, as the first of a new stream if isNew is set. If files turn out not to
// pass, it is sent once more without.
func (f *far) send(ctx context.Context, c *channel, m *message, isNew bool) error {
	err := f.s.announce(c, m)
	if err == nil && isNew {
		isNew, err = f.openWith(m)
	}
	if err == nil && !isNew {
		err = f.write(ctx, c, m)
	}
	if err == nil {
		m.left()
		return nil
	}
	f.s.recall(m)
	if errors.Is(err, ttrpc.ErrNoFiles) && !f.s.noFiles.Swap(true) {
		return f.send(ctx, c, m, false)
	}
	return err
}

// write sends a message by the stream. It returns errAgain if ctx ends first, or the
// channel's write is given up.
func (f *far) write(ctx context.Context, c *channel, m *message) error {
	c.out.set(m.payload(f.s), m.files)
	defer c.out.set(nil, nil)
	if err := f.stream.SendMsg(c.out.tryFirst()); !isTried(err) {
		return err
	}
	if ctx == tried {
		return errAgain
	}
	c.mu.Lock()
	gone := c.stopped != nil || c.closed && !c.pumping || c.sides[sending].place == placeMoving && !c.pumping
	raw, waiting := c.out.wait(), c.out.waiting
	c.mu.Unlock()
	if gone {
		return errAgain
	}
	stop := waiting.fireWith(ctx)
	defer stop()
	if err := f.stream.SendMsg(raw); !isTried(err) {
		return err
	}
	return errAgain
}

// stopWritingLocked has who writes to the stream of the receiving side, and waits for credit,
// give that up.
func (c *channel) stopWritingLocked() {
	if c.sending {
		c.out.waiting.fire()
	}
}

// pump passes on what is queued for a receiving side beyond a session, and what comes from a
// sending side that is beyond one, too. It ends when there is nothing left to do for it.
func (c *channel) pump() {
	c.mu.Lock()
	defer c.unlock()
	defer func() { c.pumping = false }()
	tx, rx := &c.sides[sending], &c.sides[receiving]
	ctx := context.Background() // the end of a session wakes who waits
	for c.stopped == nil && (rx.place == placeAttached || rx.place == placeOffered) {
		switch {
		case len(c.queue) > 0:
			m := c.popLocked()
			err := c.writeLocked(ctx, m)
			for err == errAgain && c.stopped == nil {
				err = c.writeLocked(ctx, m)
			}
			if err != nil {
				c.refuseLocked(m)
				if c.stopped == nil { // it does not fit, or the session has ended
					c.stopped = rx.far.s.errorOf(err)
				}
			}
			c.changedLocked()
		case c.closed:
			if rx.place == placeOffered {
				c.openLocked(receiving)
			}
			return
		case rx.place == placeOffered && tx.place == placeAttached:
			c.openLocked(receiving) // by which we are told if it takes no more
		case tx.place == placeOffered || tx.place == placeAttached:
			if c.fetchLocked(ctx) != nil {
				return
			}
		default:
			return
		}
	}
}

// openLocked opens the stream of a side that has none.
func (c *channel) openLocked(s side) {
	f := c.sides[s].far
	c.mu.Unlock()
	_, err := f.openWith(nil)
	c.mu.Lock()
	switch {
	case err == nil:
	case s == sending:
		c.closedLocked(f.s.errorOf(err))
	case c.stopped == nil:
		c.stopped = f.s.errorOf(err)
	}
}

// changedLocked wakes who waits for a change.
func (c *channel) changedLocked() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// close ends what is sent. A second time it does nothing.
func (c *channel) close(gen uint32, end error) error {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case !c.ownsLocked(sending, gen):
		return ErrGivenAway
	case c.closed:
		return nil
	}
	c.closed, c.end = true, end
	if !c.pumping {
		c.stopWritingLocked()
	}
	return nil
}

// abandon lets go of a side that nobody holds any more.
func (c *channel) abandon(s side) {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case s == sending && !c.closed:
		c.closed, c.end = true, ErrDropped
	case s == receiving && c.stopped == nil && !(c.closed && len(c.queue) == 0):
		c.stopped = ErrDropped
	}
}
