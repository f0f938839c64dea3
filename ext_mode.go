// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Extended mode is what two ends may do once both have agreed on it: cancel streams, send
// no more than is consumed, cut large messages, call each other, pass files, ping, and say
// goodbye. They agree on it by the first call of a connection.
//
// An extended is a connection in that mode. It is guarded by the connection's mu, but for
// what says otherwise.
type extended struct {
	c     *conn       // immutable
	cfg   *extensions // immutable
	peer  hello       // immutable
	pass  fileSender  // immutable: sendFiles, but in tests
	parts *assembler  // the reader's

	credit  // of the connection
	pings   pings
	trains  // what leaves in parts
	urgent  frameQueue
	replies int // how much memory what the reader has answered takes up in the queue

	files    bool                // immutable: both pass files
	lastPeer uint32              // the last id of the peer's that has come
	incoming map[uint32]struct{} // the peer's ids whose requests have come in part

	parking // calls that wait until the peer reads its answers

	bye parting
}

// A streamMore is what a stream has in extended mode.
type streamMore struct {
	*flow // nil of a unary call
	lined
	train *train // what leaves in parts, or nil; guarded by the connection's mu

	// Guarded by the connection's mu.
	told   []*ResponseMetadata // of a stream that we opened: get what comes
	answer answerPhase         // what has come, or has been queued
}

// moreLocked returns what the stream has in extended mode.
func (s *stream) moreLocked() *streamMore {
	if s.more == nil {
		s.more = new(streamMore)
	}
	return s.extra()
}

// extra returns the same of a stream that has anything.
func (s *stream) extra() *streamMore { return s.more.(*streamMore) }

// maxUrgent is how much memory control frames may take up that a peer does not read.
const maxUrgent = 16 << 20

// urgeLocked queues a control frame, which overtakes all others. A goroutine
// writes it if nobody does.
func (x *extended) urgeLocked(f *frame) {
	c := x.c
	if c.closed || c.lost != nil {
		f.release()
		return
	}
	if x.urgent.bytes > maxUrgent {
		x.failConnLocked(&connError{"the peer does not read"})
	}
	x.urgent.push(f)
	if !c.writing {
		c.writing = true
		go c.writeOut(nil, 0)
	}
}

// isPeers tells whether an id is one that the peer opens streams with.
func (c *conn) isPeers(id uint32) bool { return (id%2 == 1) == (c.role == roleServer) }

// failConnLocked ends the connection because of what the peer sent.
func (x *extended) failConnLocked(err error) {
	if x.c.cause == nil {
		x.c.cause = err
		x.c.warnLocked("ttrpc: connection ended", "error", err)
	}
}

// expectsLocked implements [mode].
func (x *extended) expectsLocked() bool {
	return len(x.incoming) > 0 || len(x.held) > 0 || x.calls.line.Len() > 0
}

// droppedLocked implements [mode]: it empties the queues.
func (x *extended) droppedLocked() {
	x.urgent.releaseAll()
	for _, tr := range x.all() {
		tr.of.extra().train = nil
		for f := tr.pop(); f != nil; f = tr.pop() {
			x.dropRidingLocked(f)
		}
	}
	x.waiting, x.held, x.next = nil, nil, nil
	if !x.c.writing {
		x.putBackLocked()
	}
	x.dropLineLocked()
	x.dropParkedLocked()
	x.pings.stop()
	for _, s := range x.c.streams { // which may wait for credit
		s.waiting.Broadcast()
		if x.c.closed {
			s.endMetadataLocked()
		}
	}
}

// mayOpenLocked implements [mode].
func (x *extended) mayOpenLocked(s *stream) error {
	switch window, answer := x.ownLocked(); {
	case x.bye.heard && (!s.callsBack || x.c.nextID() > x.bye.last): // see parting
		return x.bye.why
	case !x.peer.Serves:
		return status.Error(codes.Unimplemented, errServesNothing)
	case !s.unary && !x.streams.has(window+answer):
		return noRoom(x.noRoomLocked())
	}
	return nil
}

// callsBack implements [mode].
func (x *extended) callsBack(ctx context.Context) bool {
	call, _ := ctx.Value(callKey{}).(*callContext)
	return call != nil && call.of.conn == x.c
}

// addedLocked implements [mode].
func (x *extended) addedLocked(s *stream) {
	if s.unary {
		return
	}
	x.addFlowLocked(s)
}

// failingLocked implements [mode]: it withdraws what has not left of a stream, and tells
// the peer if we opened it.
func (x *extended) failingLocked(s *stream, err error) {
	left := x.withdrawAllLocked(s)
	if errors.Is(err, ErrProtocol) {
		err = status.Error(codes.InvalidArgument, err.Error())
	}
	if s.call == nil && left && !(x.bye.heard && s.id > x.bye.last) {
		x.urgeLocked(cancelFrame(s.id, err))
	}
}

// freedLocked implements [mode].
func (x *extended) freedLocked(s *stream, gone bool) {
	if gone && s.call == nil {
		x.bye.removed(s.id)
		s.endMetadataLocked()
		if s.opening != nil || s.isInLine() || s.more != nil && s.extra().train != nil {
			x.withdrawAllLocked(s)
		}
	}
	if call, ok := s.call.(*serverCall); ok && call.waits {
		x.leaveParkedLocked(call)
	}
	x.freeFlowLocked(s)
}

// beginCall implements [mode].
func (x *extended) beginCall(s *stream) {
	call := s.call.(*serverCall)
	if files := takeFiles(call.request); files != nil {
		call.moreExtras().files.came(files)
	}
}

// replyLocked implements [mode].
func (x *extended) replyLocked(id uint32, st *status.Status) { x.replyWithLocked(id, 0, st) }

// turnAwayLocked implements [mode].
func (x *extended) turnAwayLocked(id uint32, st *status.Status) {
	if !x.c.closed && x.c.lost == nil {
		x.replyWithLocked(id, flagRefused, st)
	}
}

// replyWithLocked queues a response. The reader does not wait for the peer to read.
func (x *extended) replyWithLocked(id uint32, flags uint8, st *status.Status) {
	x.grantCallsLocked()
	if x.replies > x.c.cfg.limits.Queue.ConnectionBytes {
		x.failConnLocked(&connError{"the peer does not read its answers"})
		return
	}
	f := responseFrame(id, st.Proto())
	if len(f.data)-messageHeaderLength > freeAnswer { // more takes credit
		f.release()
		f = responseFrame(id, status.New(st.Code(), "ttrpc: the status is too long to be told").Proto())
	}
	f.data[messageHeaderLength-1] = flags
	f.owner = x
	if x.c.pushLocked(f) {
		go x.c.writeOut(nil, 0)
	}
}

// pushedLocked implements [frameOwner] for replies.
func (x *extended) pushedLocked(f *frame) { x.replies += f.cost() }

// tookLocked implements [frameOwner] for replies.
func (x *extended) tookLocked(f *frame) { x.replies -= f.cost() }

// snapshotLocked implements [snapshotter].
func (x *extended) snapshotLocked(snap *ConnSnapshot) {
	snap.Extended, snap.Files, snap.HeldFiles = true, x.files, x.parts.files.size()
	snap.SendCredit, snap.RecvCredit, snap.Parked = int(x.calls.send.have), int(x.calls.recv.room), x.parked.count
	snap.Arriving = len(x.incoming)
	snap.Calls, snap.CallsMost = int(x.calls.recv.held), int(x.calls.recv.size)
	snap.Windows, snap.WindowsMost = int(x.streams.used), int(x.streams.size)
	snap.Waiting = x.wishes.line.Len() + x.loose.line.Len()
	snap.QueuedFrames += x.urgent.count
	snap.QueuedBytes += x.urgent.bytes + x.bytesLocked() + x.calls.bytes
	for e := x.calls.line.Front(); e != nil; e = e.Next() {
		snap.QueuedFrames += e.Value.(*stream).extra().frames.count
	}
	for _, tr := range x.all() {
		snap.QueuedFrames += tr.count
	}
}

// snapshotStreamLocked implements [snapshotter].
func (x *extended) snapshotStreamLocked(s *stream, snap *StreamSnapshot) {
	if s.more != nil && s.extra().flow != nil {
		m := s.extra()
		snap.SendCredit, snap.RecvCredit = int(m.send.have), int(m.recv.room)
		snap.Window, snap.Held = int(m.recv.window), int(m.recv.held-m.owed.Load()+m.first)
	}
}
