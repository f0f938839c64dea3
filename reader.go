// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readLoop is the connection's reader, for as long as the goroutine has the seat. One that
// is woken, and not to settle, is followed by another, whose stack is small.
func (c *conn) readLoop() {
	c.resetLabels()
	c.writeHeld()
	c.deep = false
	result := readGoesOn
	for result == readGoesOn && !c.deep || result == readRelieved && c.arrived > 0 {
		result = c.readNext()
	}
	if result != readLeft {
		c.mu.Lock()
		c.shedLocked()
		c.mu.Unlock()
		go c.readLoop()
	}
}

// readResult is what has become of the seat of who has called readNext.
type readResult uint8

const (
	readGoesOn   readResult = iota // the goroutine still is the reader
	readRelieved                   // the same, but it is to leave the seat
	readLeft                       // it has left the seat, or the connection has ended
)

// readNext reads a frame and does what that asks for. It waits for nothing but the
// socket; see receive and makeRoom for the two exceptions, which are what keeps a
// peer from filling the memory.
func (c *conn) readNext() readResult {
	if !c.ch.hasFrame() {
		c.writeHeld()
	}
	wait := c.arrived <= 0
	f, err := c.ch.recvFrame(wait)
	big, isBig := err.(*OversizedMessageErr)
	switch {
	case err == nil || isBig:
		last := false
		if !wait {
			c.arrived -= messageHeaderLength + int(f.header.Length)
			last = c.arrived <= 0
		}
		reads := c.receive(f, big)
		if last {
			c.settle()
		}
		if !reads {
			return readLeft
		}
		return readGoesOn
	case err == errNoFrame:
		c.arrived = 0
		c.settle()
		return readGoesOn
	case errors.Is(err, os.ErrDeadlineExceeded):
		if relieved, settles := c.takeWake(); relieved || settles {
			if settles { // or does so again: draining, and the peer is lost
				c.arrived = maxArrived
			}
			return readRelieved
		}
	}
	if errors.Is(err, ErrProtocol) {
		c.cfg.log.Warn("ttrpc: connection ended", "error", err, "peer", c.nc.RemoteAddr())
	}
	c.close(err)
	c.ch.ended()
	return readLeft
}

// maxArrived is more than a unix socket holds. A peer that never stops sending
// does not keep a connection from draining.
const maxArrived = 1 << 20

// settle takes note that what had arrived when the reader was woken was read: when the
// connection began to end, if it did before. One whose peer is lost has nothing else to
// wait for.
func (c *conn) settle() {
	c.mu.Lock()
	c.settled = c.settled || c.draining && !c.settles // else it is woken again
	if c.cause == nil {
		c.cause = c.lost
	}
	if c.mode != nil {
		c.mode.tookAllLocked()
	}
	c.unlock()
}

// receive handles one frame, which it owns. If the frame was over the limit,
// big says so, and its data is being dropped (B7). It reports whether the goroutine
// still is the reader.
func (c *conn) receive(f *frame, big *OversizedMessageErr) (reads bool) {
	c.mu.Lock()
	if c.mode != nil && f.header.Type >= messageTypeBeyond {
		c.mode.receiveLocked(f)
		return true
	}
	c.awaitRoomLocked()
	s := c.streams[f.header.StreamID]
	act, why, err := c.judgeLocked(s, f, big)
	if c.firstAnsweredLocked != nil && c.mode == nil && f.header.StreamID == 1 && big == nil {
		c.firstAnsweredLocked(c, f, act)
	}
	switch act {
	case actOpen:
		return c.host.acceptLocked(c, f)
	case actReject:
		c.host.rejectLocked(c, s, f, why, big)
	case actFail:
		c.failLocked(s, err)
	case actEnd:
		c.endLocked(s, f)
		if s.done != nil {
			s.result = f
			reads = !c.leaveLocked()
			s.done <- struct{}{} // s is the caller's from here on
			c.unlock()
			return reads
		}
		c.streamEndsLocked(s, f, nil)
	case actClose, actLast:
		if s.call == nil {
			c.endLocked(s, f)
			c.streamEndsLocked(s, nil, nil)
		} else {
			s.state = stateRemoteClosed
		}
	}
	if act == actMessage || act == actLast {
		s.received.add(0, f.size(), 1)
	}
	if delivered, left := c.deliverAloneLocked(s, f, act); delivered {
		c.unlock()
		return !left
	}
	c.unlock()

	switch act {
	case actMessage:
		c.deliver(s, f)
	case actLast, actEnd:
		c.deliver(s, f)
		s.inbox.close(io.EOF, false)
	case actClose:
		s.inbox.close(io.EOF, false)
		f.release()
	default:
		f.release()
	}
	return true
}

// judgeLocked decides what a frame for the stream s, nil if there is none, asks for.
// The error is that with which the stream fails.
func (c *conn) judgeLocked(s *stream, f *frame, big *OversizedMessageErr) (act action, why violation, err error) {
	if c.mode != nil {
		return c.mode.judgeLocked(s, f, big)
	}
	st, streams := s.expects()
	act, why = onReceive(c.role, st, streams, f.header)
	switch {
	case c.closed:
		act = actIgnore
	case big != nil:
		act = onOversized(act)
	case act == actOpen && c.offer != nil && c.offer.offeredLocked(c, f):
		act = actIgnore
	case c.twoClientsLocked != nil && c.twoClientsLocked(c, f):
		act = actIgnore
	}
	if f.header.Type == messageTypeRequest {
		c.offer = nil
	}
	if act == actFail {
		err = failure(s.call != nil, why, f.header, big)
	}
	return act, why, err
}

// awaitRoomLocked has a server's reader wait while the peer does not read its
// answers: it gets nothing more done before.
func (c *conn) awaitRoomLocked() {
	for c.role == roleServer && c.mode == nil && c.out.bytes > c.cfg.limits.Queue.ConnectionBytes && !c.closed && c.seat != seatRelieved {
		if c.held > 0 {
			c.mu.Unlock()
			c.writeHeld()
			c.mu.Lock()
			continue
		}
		if c.room == nil {
			c.room = sync.NewCond(&c.mu)
		}
		c.room.Wait()
	}
}

// tellRoomLocked has the reader look again, if it waits for out to shrink.
func (c *conn) tellRoomLocked() {
	if c.room != nil {
		c.room.Broadcast()
	}
}

// failure is how a stream ends whose peer sent what it must not.
func failure(accepted bool, why violation, h messageHeader, big *OversizedMessageErr) error {
	switch {
	case big != nil:
		return big.err
	case accepted:
		return status.Error(codes.InvalidArgument, string(why))
	case why == violationNoStream:
		return fmt.Errorf("%s: %w", why, ErrProtocol)
	}
	return fmt.Errorf("unexpected %q message received: %w", h.Type, ErrProtocol)
}

// deliver puts a message into a stream's inbox.
func (c *conn) deliver(s *stream, f *frame) {
	if c.mode == nil {
		c.makeRoom(f.cost())
	}
	if s.put(f) {
		return
	}
	if c.mode != nil && f.header.Type == messageTypeData {
		c.mode.consumed(s, f)
	}
	f.release()
}

// isOverCap tells whether n bytes more are too many.
func (c *conn) isOverCap(n int) bool {
	return int(c.total.Load())+n > c.cfg.limits.Queue.ConnectionBytes
}

// makeRoom sees to it that n more bytes fit under the cap on what the
// connection may queue. The stream that holds most of it fails, at once if its
// receiver has never taken anything, else if it does not take the next message
// within its patience.
func (c *conn) makeRoom(n int) {
	for c.isOverCap(n) {
		c.writeHeld()
		c.mu.Lock()
		var fullest *stream
		most := 0
		for _, s := range c.streams {
			if size := s.inbox.size(); size > most {
				fullest, most = s, size
			}
		}
		c.mu.Unlock()
		if fullest == nil {
			return
		}
		fail := func() { c.fail(fullest, ErrStreamFull) }
		late := time.AfterFunc(c.cfg.limits.Queue.Patience, fail)
		if !fullest.inbox.awaitTake(most) {
			fail()
		}
		late.Stop()
	}
}
