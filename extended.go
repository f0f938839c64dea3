// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Extended mode is what two ends may do that both know it: cancel streams, send no
// more than is consumed, cut large messages, call each other, pass files, ping,
// and say goodbye. They agree on it by the first call of a connection.
//
// An extended is what a connection in that mode knows beyond others. It is guarded
// by the connection's mu.
type extended struct {
	peer  hello // immutable
	files bool  // immutable: both pass files

	credit int // how much data may be sent on all streams; below 0 after a large message
	room   int // how much may be received
	pings  pings

	// These need no lock, and are read for each message, so no other is on their cache line.
	_       [64]byte
	starved atomic.Bool  // the peer has no credit on the connection
	owed    atomic.Int64 // what was consumed since it was looked whether credit can be granted
	_       [64]byte

	urgent  frameQueue // leaves before all else
	replies int        // how much memory what the reader has answered takes up in the queue
	trains             // what leaves in parts

	lastPeer uint32              // the last id of the peer's that has come
	incoming map[uint32]struct{} // the peer's ids whose requests have come in part
	parked   []*serverCall       // wait until the peer reads its answers

	bye     parting
	endHook context.CancelCauseFunc // ends the context of the connection's hook
	closing []*os.File              // to be closed by unlock, for that may take time
}

// closeLaterLocked takes the files off a frame that is dropped.
func (x *extended) closeLaterLocked(f *frame) {
	x.closing, f.files = append(x.closing, f.files...), nil
}

// takeClosingLocked returns the files that are to be closed once the lock is released.
func (c *conn) takeClosingLocked() (files []*os.File) {
	if c.ext != nil {
		files, c.ext.closing = c.ext.closing, nil
	}
	return files
}

// maxUrgent is how much memory control frames may take up that a peer does not read.
const maxUrgent = 16 << 20

// urgeLocked queues a control frame, which overtakes all others. A goroutine
// writes it if nobody does.
func (c *conn) urgeLocked(f *frame) {
	x := c.ext
	if c.closed || c.lost != nil {
		f.release()
		return
	}
	if x.urgent.bytes > maxUrgent {
		c.failConnLocked(&connError{"the peer does not read"})
	}
	x.urgent.push(f)
	if !c.writing {
		c.writing = true
		go c.writeOut(nil, 0)
	}
}

// isPeers tells whether an id is one that the peer opens streams with.
func (c *conn) isPeers(id uint32) bool { return (id%2 == 1) == (c.role == roleServer) }

// extendLocked begins the extended mode. The reader calls it, before it reads
// anything that belongs to it.
func (c *conn) extendLocked(peer hello) {
	ours := c.ourHello()
	limit := min(uint64(c.cfg.maxMessage), peer.MaxMessage, maxMessageCap)
	x := &extended{
		peer:     peer,
		files:    ours.Files && peer.Files,
		credit:   int(min(peer.ConnectionWindow, maxCredit)),
		room:     c.cfg.queue.ConnectionBytes,
		incoming: make(map[uint32]struct{}),
	}
	c.ext = x
	c.limit.Store(int64(limit))
	c.ch.max = int(limit)
	c.ch.ext = &assembler{keeps: c.keeps, open: make(map[uint32]*assembly), most: c.cfg.queue.ConnectionBytes}
	c.ch.takeFiles(x.files)
	c.keepAliveLocked()
}

// keeps tells the assembler whether somebody is interested in what comes in parts for
// an id. That may be a request which opens a stream.
func (c *conn) keeps(id uint32) bool {
	c.mu.Lock()
	defer c.unlock()
	x := c.ext
	if s := c.streams[id]; s != nil || !c.isPeers(id) || c.closed {
		return s != nil && s.isActive()
	}
	if _, ok := x.incoming[id]; ok {
		return true
	}
	if id <= x.lastPeer || x.bye.said {
		return false
	}
	x.lastPeer = id
	if n := c.hooks.maxHandlers; n > 0 && c.accepted+len(x.incoming) >= n {
		c.replyLocked(id, tooManyCalls(n))
		return false
	}
	x.incoming[id] = struct{}{}
	return true
}

// expectsLocked tells whether a request has come in part.
func (c *conn) expectsLocked() bool { return c.ext != nil && len(c.ext.incoming) > 0 }

// judgeExtendedLocked is judgeLocked in extended mode.
func (c *conn) judgeExtendedLocked(s *stream, st streamState, streams bool, f *frame, big *OversizedMessageErr) (act action, why violation, err error) {
	act, why = c.onExtendedReceiveLocked(st, streams, f.header)
	err = c.chargeLocked(s, f)
	switch {
	case c.closed:
		act = actIgnore
	case big != nil && why == violationReused: // it was refused when its first part came
		act = actIgnore
	case big != nil:
		act = onOversized(act)
	case err != nil && s.isActive():
		act = actFail
	}
	if act != actMessage && act != actLast {
		c.grantRoomLocked() // for what nobody receives
	}
	if act == actFail && err == nil {
		err = failure(s.call != nil, why, f.header, big)
	}
	return act, why, err
}

// onExtendedReceiveLocked is onReceive in extended mode, where both ends open streams.
func (c *conn) onExtendedReceiveLocked(st streamState, streams bool, h messageHeader) (action, violation) {
	x, id := c.ext, h.StreamID
	takes := h.Type >= messageTypeRequest && h.Type <= messageTypeData // what came in parts
	begun := false
	if len(x.incoming) > 0 {
		if _, begun = x.incoming[id]; takes {
			delete(x.incoming, id)
		}
	}
	switch {
	case h.Type == messageTypeData && h.Flags&(flagRemoteClosed|flagNoData) == flagNoData:
		return actIgnore, violationNone // no message, which nobody was charged for
	case !c.isPeers(id):
		return onOpenerReceive(st, streams, h)
	case st != stateIdle || begun && takes:
	case x.bye.said && id > x.bye.served:
		return actIgnore, violationNone
	case id <= x.lastPeer && h.Type == messageTypeRequest:
		return actReject, violationReused
	case id <= x.lastPeer:
		return actIgnore, violationNone // late
	case h.Type == messageTypeRequest:
		x.lastPeer = id
	}
	return onAccepterReceive(st, h)
}

// receiveControl handles a frame that only the extended mode has. It unlocks, and
// reports that the goroutine still is the reader.
func (c *conn) receiveControl(f *frame) (reads bool) {
	s := c.streams[f.header.StreamID]
	left := false
	switch f.header.Type {
	case messageTypePart: // a reset
		delete(c.ext.incoming, f.header.StreamID)
	case messageTypeCancel:
		c.cancelledLocked(s, f)
	case messageTypeCredit:
		c.grantedLocked(f)
	case messageTypePing:
		c.pingedLocked(f)
	case messageTypeGoodbye:
		left = c.heardGoodbyeLocked(f)
	}
	c.unlock()
	f.release()
	if left && c.hooks.leaving != nil {
		c.hooks.leaving(c)
	}
	return true
}

// cancelledLocked ends a stream that the peer has given up.
func (c *conn) cancelledLocked(s *stream, f *frame) {
	st := parseStatus(f.data, codes.Canceled)
	switch {
	case s != nil && s.call == nil && s.isActive():
		c.failLocked(s, failure(false, violationType, f.header, nil))
	case s != nil && s.call != nil && s.isActive():
		c.failLocked(s, st.Err())
	case s == nil:
		c.cutAnswerLocked(f.header.StreamID, st)
	}
}

// cutAnswerLocked stops an answer that is leaving in parts.
func (c *conn) cutAnswerLocked(id uint32, st *status.Status) {
	if !c.isPeers(id) {
		return
	}
	for _, tr := range c.ext.waiting {
		if tr.of.id == id {
			c.withdrawAllLocked(tr.of)
			c.replyLocked(id, st)
			return
		}
	}
}

// cancelOursLocked withdraws what has not left of a stream that has failed, and tells
// the peer if we opened it.
func (c *conn) cancelOursLocked(s *stream, err error) {
	left := c.withdrawAllLocked(s)
	if errors.Is(err, ErrProtocol) {
		err = status.Error(codes.InvalidArgument, err.Error())
	}
	if bye := &c.ext.bye; s.call == nil && left && !(bye.heard && s.id > bye.last) {
		c.urgeLocked(cancelFrame(s.id, err))
	}
}

// failConnLocked ends the connection because of what the peer sent.
func (c *conn) failConnLocked(err error) {
	if c.cause == nil {
		c.cause = err
		c.cfg.log.Warn("ttrpc: connection ended", "error", err, "peer", c.nc.RemoteAddr())
	}
}

// dropExtendedLocked empties the queues of a connection that has ended, or has lost its
// peer.
func (c *conn) dropExtendedLocked() {
	x := c.ext
	if x == nil {
		return
	}
	x.urgent.releaseAll()
	for _, tr := range x.waiting {
		tr.of.rides = false
		for f := tr.pop(); f != nil; f = tr.pop() {
			x.closeLaterLocked(f)
			if f != x.cut { // which is being written
				f.release()
			}
		}
	}
	x.waiting, x.next = nil, nil
	for _, call := range x.parked {
		x.closeLaterLocked(call.request)
		call.request.release()
	}
	x.parked = nil
	x.pings.stop()
	for _, s := range c.streams { // which may wait for credit
		s.waiting.Broadcast()
	}
}

// parkLocked keeps a call from being started while the peer does not read its answers.
func (c *conn) parkLocked(call *serverCall) (parked bool) {
	x := c.ext
	if !c.isUnreadLocked() && len(x.parked) == 0 {
		return false
	}
	call.parked = true
	x.parked = append(x.parked, call)
	return true
}

// unparkLocked has a goroutine start the calls that waited for the peer to read.
func (c *conn) unparkLocked() {
	x := c.ext
	if len(x.parked) > 0 && !c.isUnreadLocked() {
		calls := x.parked
		x.parked = nil
		go func() {
			for _, call := range calls {
				c.serve(call)
			}
		}()
	}
}

// isUnreadLocked tells whether the peer leaves too much of what it is sent unread.
func (c *conn) isUnreadLocked() bool {
	return c.out.bytes+c.ext.bytesLocked() > c.cfg.queue.ConnectionBytes
}

// maxParked is how many calls may wait for the peer to read its answers.
const maxParked = 1000
