// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"io"
	"runtime"
	"time"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// There is no permanent writer goroutine: an idle connection would pay a stack
// for it, and each frame a wake-up. Frames stand in the connection's queue,
// and whoever puts one there and finds no writer becomes the writer. It
// writes without ever blocking; what the socket does not take is left to a
// goroutine that lives until the queue is empty. On conns that are no kernel
// sockets, which cannot be tried without blocking, that goroutine does it all;
// only the one whose handler has returned, for which nobody waits, writes its
// answer to a byte stream itself.

const (
	// maxPending is how much may be queued before senders on streams wait,
	// and how much leaves in one write.
	maxPending = 64 << 10

	// maxCombined is the largest frame that is copied next to others. Larger
	// ones are cheaper to write than to copy.
	maxCombined = 16 << 10

	// maxTurns is how many writes a goroutine that only had a frame of its own to
	// send does for all others before a goroutine takes over.
	maxTurns = 8

	// lostPeerGrace is how long a peer that does not take what we write may
	// still send. What has arrived by then is received.
	lostPeerGrace = time.Second
)

// putStreamID sets the id in the header of an outgoing frame.
func putStreamID(frame []byte, id uint32) { wire.PutStreamID(frame, id) }

// pushLocked queues a sealed frame and reports whether the caller has become
// the writer and must call lead after unlock.
func (c *conn) pushLocked(f *frame) (lead bool) {
	c.pushed++
	f.seq = c.pushed
	c.out.push(f)
	if f.owner != nil {
		f.owner.pushedLocked(f)
	}
	if c.writing || !c.started {
		return false
	}
	c.writing = true
	return true
}

// replyLocked queues a response from the reader, which has a goroutine write it. A
// connection that only waits for its queue to empty takes no more.
func (c *conn) replyLocked(id uint32, st *status.Status) {
	ending := c.draining && c.settled && len(c.streams) == 0
	switch {
	case c.closed || c.lost != nil || ending:
	case c.mode != nil:
		c.mode.replyLocked(id, st)
	case c.pushLocked(responseFrame(id, st.Proto())):
		go c.writeOut(nil, 0)
	}
}

// pushForLocked is pushLocked for a frame of a stream.
func (c *conn) pushForLocked(s *stream, f *frame) (lead bool) {
	if c.mode != nil {
		return c.mode.pushLocked(s, f)
	}
	return c.pushLocked(f)
}

// queuedLocked tells whether a frame waits for the writer.
func (c *conn) queuedLocked() bool {
	return c.out.head != nil || c.mode != nil && c.mode.queuedLocked()
}

// withdrawLocked takes the frames of a stream whose request has not left out
// of the queue.
func (c *conn) withdrawLocked(s *stream) {
	if s.opening == nil {
		return
	}
	for f := s.queued.first; f != nil; f = s.queued.first {
		c.withdrawFrameLocked(s, f)
		f.release()
	}
}

// withdrawFrameLocked takes one frame of a stream out of the queue.
func (c *conn) withdrawFrameLocked(s *stream, f *frame) {
	c.out.remove(f)
	s.queued.remove(f)
	if s.opening == f {
		s.opening = nil
	}
}

// lead is called, without locks, by whom pushLocked made the writer. idle tells that
// nobody waits for the caller, so that it may block.
func (c *conn) lead(idle bool) {
	turns := maxTurns
	if c.ch.kind == packetConn || c.ch.kind == streamConn && !idle {
		turns = 0
	}
	for range turns {
		f := c.nextBatch()
		if f == nil {
			return
		}
		c.traceSent(f)
		n, err := c.ch.tryWrite(f)
		if err == nil && n < len(f.data) {
			go c.writeOut(f, n)
			return
		}
		lost := err != nil && !(n == 0 && f.refused(err))
		f.release()
		if lost {
			c.peerLost(err)
			return
		}
	}
	go c.writeOut(nil, 0)
}

// writeOut is the writer where it may block. It begins with the rest of f.
func (c *conn) writeOut(f *frame, written int) {
	for ; ; written = 0 {
		if f == nil {
			if f = c.nextBatch(); f == nil {
				return
			}
			c.traceSent(f)
		}
		err := c.ch.writeFrame(f, written)
		lost := err != nil && !(written == 0 && f.refused(err))
		f.release()
		f = nil
		if lost {
			c.peerLost(err)
			return
		}
	}
}

// traceSent tells the trace, if there is one, of the frames that are about to be written.
func (c *conn) traceSent(f *frame) {
	if c.cfg.trace != nil && f != nil {
		c.cfg.trace.sent(c, f)
	}
}

// nextBatch takes as many frames from the queue as may leave in one write, and
// returns them as one that the caller owns. It returns nil if the queue is
// empty; then the caller is no longer the writer.
func (c *conn) nextBatch() *frame {
	c.mu.Lock()
	var batch frameQueue
	var one *frame
	size := 0
	switch {
	case c.mode != nil:
		one, batch, size = c.mode.nextLocked()
	case c.closed || c.lost != nil:
	default:
		batch, size = c.collectLocked()
	}
	c.writing = one != nil || size > 0
	if c.out.bytes <= c.cfg.limits.Queue.ConnectionBytes {
		c.tellRoomLocked()
	}
	c.unlock()
	if one != nil {
		return one
	}
	return combine(batch, size)
}

// collectLocked takes from the queue what may leave in one write, and says how many
// bytes that is.
func (c *conn) collectLocked() (batch frameQueue, size int) {
	limit := c.ch.kind.batchSize()
	for f := c.out.head; f != nil; f = c.out.head {
		n := len(f.data)
		if size > 0 && !joins(f, size, limit) {
			break
		}
		size += n
		batch.push(c.popLocked())
		if n > maxCombined {
			break
		}
	}
	return batch, size
}

// joins tells whether a frame may leave together with others before it, of size bytes.
func joins(f *frame, size, limit int) bool {
	return size+len(f.data) <= limit && len(f.data) <= maxCombined && f.extras == nil
}

// combine makes one frame of many. The first may have extras.
func combine(batch frameQueue, size int) *frame {
	if batch.count <= 1 {
		return batch.pop()
	}
	all := newFrame(size)
	for f := batch.pop(); f != nil; f = batch.pop() {
		all.data = append(all.data, f.data...)
		if f.extras != nil {
			all.extras, f.extras = f.extras, nil
		}
		f.release()
	}
	return all
}

// popLocked takes the first frame and tells its stream.
func (c *conn) popLocked() *frame {
	f := c.out.pop()
	c.popped = f.seq
	if f.owner != nil {
		f.owner.tookLocked(f)
		f.owner = nil
	}
	return f
}

// peerLost is called by the writer when a write has failed. Nothing more is
// written, but what the peer sent before is still worth reading (B19); the
// reader then finds the end itself, or is made to.
func (c *conn) peerLost(err error) {
	c.mu.Lock()
	c.writing = false
	if !c.closed {
		c.lost = err
	}
	for f := c.out.head; f != nil; f = c.out.head {
		if s, _ := f.owner.(*stream); s != nil && s.done != nil && s.opening == f {
			c.failLocked(s, c.refusal()) // nothing of the call has left; takes f out
			continue
		}
		c.popLocked().release()
	}
	if c.mode != nil {
		c.mode.droppedLocked()
	}
	c.tellRoomLocked()
	if c.lost != nil {
		time.AfterFunc(lostPeerGrace, c.giveUp)
	}
	c.unlock()
}

// giveUp ends a connection whose peer is lost, after what has arrived.
func (c *conn) giveUp() {
	c.mu.Lock()
	if !c.closed {
		c.wakeReaderLocked(0)
	}
	c.unlock()
}

// send queues a frame of an open stream, which it then owns. If much is queued
// already it waits until the writer has taken the frame or the stream has
// ended; or ctx has, and then the frame is not sent, unless it is queued and a
// mode bounds what is. With closes the frame is our half-close.
//
// A sender of message after message does not write them itself: while
// a goroutine writes one, it queues the next, and many leave in one write. Large
// ones leave alone, so it writes those to a kernel socket itself.
func (c *conn) send(ctx context.Context, s *stream, f *frame, closes bool) error {
	over := newBound(ctx, &s.waiting, nil)
	defer over.end()
	c.mu.Lock()
	missed := c.mode != nil && !closes && !s.halfClosed && !c.mode.awaitLocked(s, f, over)
	write, err := onSend(s.state, s.halfClosed)
	write = write && (closes || !s.answered)
	switch {
	case err != nil:
	case c.closed || c.lost != nil:
		write, err = false, ErrClosed
	case !write && s.err == nil && s.about.isOwnDeadlineLocked():
		err = context.DeadlineExceeded
	case !write && s.err == nil && c.mode != nil && !closes:
		err = io.EOF
	case !write:
		err = s.err
	case missed:
		write, err = false, over.errLocked()
	}
	s.halfClosed = s.halfClosed || closes && err != ErrClosed
	if !write {
		c.mu.Unlock()
		f.release()
		return err
	}
	putStreamID(f.data, s.id)
	f.owner = s
	s.sent.add(f.flags(), len(f.data)-messageHeaderLength, 1)
	lead := c.holdLocked(s, c.pushForLocked(s, f))
	seq := f.seq
	row := s.inARow
	s.inARow = true
	switch {
	case lead && row && !s.inbox.waited.Swap(false) && len(f.data) <= maxCombined:
		go c.writeOut(nil, 0)
	case lead:
		c.unlockAndLead(1, false)
		return nil
	}
	defer c.mu.Unlock()
	for c.out.bytes > maxPending && c.popped < seq && s.isActive() && c.lost == nil {
		switch {
		case over.errLocked() == nil:
			s.waitLocked()
		case c.mode == nil:
			c.withdrawFrameLocked(s, f)
			s.sent.add(f.flags(), len(f.data)-messageHeaderLength, -1)
			f.release()
			return over.errLocked()
		default:
			return nil
		}
	}
	return nil
}

// unlockAndLead makes the caller, who has just become the writer, write. If
// other streams than its own are active, their owners first get a chance to
// queue what they have: many frames then leave in one write. Who is alone does
// not pay for that. idle is lead's.
func (c *conn) unlockAndLead(own int, idle bool) {
	others := len(c.streams) > own
	c.unlock()
	if others {
		runtime.Gosched()
	}
	c.lead(idle)
}
