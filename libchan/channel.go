// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"sync"
	"sync/atomic"
)

// A channel has two sides, one that sends and one that receives. Each is here or beyond a
// session, and may move in a message (see place). What happens on one side is told to the
// other, so there are four kinds of channels and no code for any of them:
//
//   - both here: a queue;
//   - one here: that side's end uses the other's stream directly;
//   - none here: a goroutine, pump, passes messages on without decoding them, and what the
//     receiving side says of them ("taken", "no more") goes back the same way.
//
// A channel changes through one door, unlock, which derives what follows: who is woken, what
// is told to a side beyond a session, whether there has to be a pump.
//
// Memory. A queue holds what was sent and has nowhere to go yet: its receiver is here, or its
// stream is still to be opened. Its sender waits at the channel's capacity or, if that is
// not given, at queueBytes, and all queues for one session wait at its bound together, but
// for one message each. What a peer sends is held back by its stream's credit; of that at
// most one message is in the queue (see fetchLocked), and the first that came with the request.
//
// Liveness. A sender waits for nobody but its receiver, and each wait ends with a context,
// the end of the channel or that of the session. No lock is held while a stream or the
// user's code is called; the order of locks is channel, session, and never two channels.
type channel struct {
	// Immutable.
	capacity int  // how many messages may be sent and not taken; -1 if bytes count
	chunks   bool // its messages are chunks of a byte stream

	size atomic.Int32 // of the last message that was sent, as far as that is likely again

	mu    sync.Mutex
	sides [2]edge
	queue []*message
	first [1]*message // the queue's memory, while it is short
	bytes int         // of the queue

	before  uint64 // messages for the capacity that were sent before the sending side was given to us
	sent    uint64 // these, and messages that were queued or have left
	taken   uint64 // of these, those that the receiver has taken
	claims  []claim
	open    int   // what claims weigh
	closed  bool  // the sender has ended; what is queued, or under way, still comes
	end     error // its error, or nil
	stopped error // why the receiver takes no more, or nil while it does

	sending bool // somebody has the turn to write to the receiving side's stream
	reading bool // or to read from the sending side's
	pumping bool
	lost    error // the session of the side that sends has ended: only what has arrived is taken
	refs    int   // what references weigh in messages that were taken and not reported

	awaited *message // which a sender with capacity 0 waits for, and gets back if it never is taken

	changed   chan struct{}    // closed at the next change; nil if nobody waits
	out, in   courier          // of who sends, and who reads
	done      [2]chan struct{} // what Done of each side has returned, or nil
	ready     chan struct{}    // what Ready has returned, or nil
	watchers  int              // how many calls of Select need ready
	asked     bool             // Ready has returned it
	after     []func()         // to be done once the lock is free
	interrupt func()           // tells whoever is in a Read or Write of a loan, or nil
	watching  bool             // somebody waits for the end of the stream on which we send
	buffers   *Session         // whose bound the queue counts for, or nil
}

// An edge is a side of a channel.
type edge struct {
	place place
	gen   uint32 // of its handle: older ones are void
	far   *far   // if it is beyond a session, or was
}

// A claim is what a message has announced that is not known to be taken.
type claim struct {
	seq    uint64 // the message is the seq-th that was sent
	ids    []uint64
	weight int
}

const (
	// queueBytes is how much a queue holds of a channel without a capacity.
	queueBytes = 256 << 10

	// maxUnclaimed is how many ends a channel carries that nobody has claimed before its
	// sender waits.
	maxUnclaimed = 1000

	// maxUnclaimedFiles is how many files.
	maxUnclaimedFiles = 50
)

// newChannel returns a channel with both sides here; their first handles have generation 1.
func newChannel(capacity int) *channel {
	c := &channel{capacity: capacity}
	c.sides[sending].gen, c.sides[receiving].gen = 1, 1
	return c
}

// moveLocked moves a side. It returns false if that is not possible.
func (c *channel) moveLocked(s side, st step) bool {
	to, ok := c.sides[s].place.take(st)
	if ok {
		c.sides[s].place = to
	}
	return ok
}

// ownsLocked tells whether a handle is the side's.
func (c *channel) ownsLocked(s side, gen uint32) bool {
	e := &c.sides[s]
	return e.gen == gen && (e.place == placeHere || e.place == placeOver)
}

// waitLocked waits for a change, or something else, or until ctx ends.
func (c *channel) waitLocked(ctx context.Context, also ...<-chan struct{}) error {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	var other <-chan struct{}
	if len(also) > 0 {
		other = also[0]
	}
	c.unlockQuietly()
	defer c.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-other:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unlock is the door: it derives what follows from a change, and wakes who waits for one.
func (c *channel) unlock() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	c.unlockQuietly()
}

// unlockQuietly is unlock where nothing has changed for those who wait.
func (c *channel) unlockQuietly() {
	c.settleLocked()
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// settleLocked derives what follows.
func (c *channel) settleLocked() {
	tx, rx := &c.sides[sending], &c.sides[receiving]
	if c.stopped != nil && len(c.queue) > 0 {
		c.dropQueueLocked()
	}
	if rx.place == placeAttached || rx.place == placeOffered {
		c.settleReceiverLocked(tx, rx)
	}
	if tx.place == placeAttached || tx.place == placeOffered {
		c.settleSenderLocked(tx)
	}
	if c.interrupt != nil && (c.stopped != nil || c.lost != nil || c.closed && c.end != nil) {
		c.after = append(c.after, c.interrupt)
		c.interrupt = nil
	}
	drained := c.closed && len(c.queue) == 0 && !c.pumping
	if c.done[sending] != nil && (c.closed || c.stopped != nil) {
		closeOnce(c.done[sending])
	}
	if c.done[receiving] != nil && (drained || c.stopped != nil) {
		closeOnce(c.done[receiving])
	}
	if c.ready != nil && (len(c.queue) > 0 || c.closed || c.stopped != nil) {
		close(c.ready)
		c.ready = nil
	}
}

func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// settleReceiverLocked does what is to be done for a receiving side beyond a session.
func (c *channel) settleReceiverLocked(tx, rx *edge) {
	f := rx.far
	idle := !c.sending && !c.pumping
	switch {
	case c.stopped != nil && rx.place == placeAttached:
		c.moveLocked(receiving, stepEnd)
		if f.isFinal {
			c.after = append(c.after, f.stoppedByPeer)
			break
		}
		stopped, awaited := c.stopped, c.open > 0
		c.after = append(c.after, func() { f.finish(stopped, awaited) })
		c.lookLocked(f)
	case c.stopped != nil, rx.place == placeOffered && c.closed && c.end == ErrDropped && idle:
		c.moveLocked(receiving, stepEnd)
		c.after = append(c.after, f.release)
	case !idle:
	case rx.place == placeAttached && c.closed && len(c.queue) == 0:
		c.moveLocked(receiving, stepEnd)
		end, awaited := c.end, c.open > 0 || c.capacity >= 0
		c.after = append(c.after, func() { f.finish(end, awaited) })
		c.lookLocked(f)
	case c.closed || len(c.queue) > 0 || tx.place == placeOffered || tx.place == placeAttached:
		c.pumping = true
		go c.pump()
	}
}

// settleSenderLocked does what is to be done for a sending side beyond a session.
func (c *channel) settleSenderLocked(tx *edge) {
	f := tx.far
	taken := f.takenOf(c.taken)
	switch stopped := c.stopped; {
	case stopped != nil && tx.place == placeOffered:
		c.moveLocked(sending, stepEnd)
		c.after = append(c.after, func() { f.refuse(stopped) })
	case stopped != nil:
		c.moveLocked(sending, stepEnd)
		c.stopReadingLocked()
		c.after = append(c.after, func() { f.stop(taken, stopped) })
		c.lookLocked(f)
	case c.closed && len(c.queue) == 0 && !c.pumping && !c.reading && !c.awaitsReportLocked():
		c.moveLocked(sending, stepEnd)
		told := f.refs || c.capacity >= 0
		c.after = append(c.after, func() { f.ended(taken, told) })
	}
}

// awaitsReportLocked tells whether a receiving side beyond a session has still to say what it
// has taken, which the sender wants to know.
func (c *channel) awaitsReportLocked() bool {
	f := c.sides[receiving].far
	return f != nil && !f.isFinal && c.stopped == nil && (c.capacity >= 0 && c.taken < c.sent || c.open > 0)
}

// dropQueueLocked drops what nobody will receive.
func (c *channel) dropQueueLocked() {
	dropped := c.queue
	c.queue = nil
	c.countLocked(-c.bytes)
	for _, m := range dropped {
		c.refuseLocked(m)
	}
}

// refuseLocked gives back a message of the queue that is certainly not taken, or drops it.
func (c *channel) refuseLocked(m *message) {
	if m == c.awaited {
		c.awaited = nil
		c.sent--
		return
	}
	c.after = append(c.after, m.drop)
}

// countLocked counts bytes of the queue.
func (c *channel) countLocked(n int) {
	c.bytes += n
	if c.buffers != nil {
		c.buffers.count(n)
	}
}

// bufferFor has the queue count for the bound of a session, or for none.
func (c *channel) bufferForLocked(s *Session) {
	n := c.bytes
	c.countLocked(-n)
	c.buffers = s
	c.countLocked(n)
}

// reported takes note of what a receiving side beyond a session has said.
func (c *channel) reported(f *far, r wireReport) {
	c.mu.Lock()
	defer c.unlock()
	taken, passed := f.base+r.taken, c.sent-uint64(len(c.queue))
	if c.sending && !c.pumping {
		passed++
	}
	if r.taken > passed-f.base {
		r.final, r.cause = true, statusOf(errTooMany)
	} else {
		c.tookLocked(taken, 0)
	}
	if !r.final {
		return
	}
	f.isFinal = true
	c.unclaimedLocked(f.s)
	f.s.forget(f)
	if c.sides[receiving].place == placeAnnounced {
		c.moveLocked(receiving, stepEnd)
		c.bufferForLocked(nil)
	}
	switch cause := errorOf(r.cause); {
	case c.stopped != nil, cause == nil && c.closed && c.taken == c.sent:
	case cause == nil:
		c.stopped = ErrClosed
	default:
		c.stopped = cause
	}
	if c.stopped != nil {
		c.stopWritingLocked()
	}
}

// pushLocked queues a message.
func (c *channel) pushLocked(m *message) {
	if c.queue == nil {
		c.queue = c.first[:0]
	}
	c.queue = append(c.queue, m)
	c.sent++
	c.countLocked(m.size())
}

// popLocked takes the first message out of the queue.
func (c *channel) popLocked() *message {
	m := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.countLocked(-m.size())
	return m
}

// tookLocked takes note that the receiver has taken messages, so many since the channel
// began, with references of that weight in what was taken here.
func (c *channel) tookLocked(taken uint64, refs int) {
	if taken <= c.taken {
		return
	}
	c.taken = taken
	c.claimedLocked()
	tx := &c.sides[sending]
	if c.refs += refs; tx.place != placeAttached {
		return
	}
	if taken <= tx.far.base {
		return // what was sent before the side went away
	}
	if f := tx.far; c.capacity >= 0 || c.refs >= maxUnclaimed/4 || taken-f.told >= reportEvery {
		c.refs, f.told = 0, taken
		c.after = append(c.after, f.reporter(taken))
	}
}

// reportEvery is how often the sender is told what was taken of a channel that has no
// capacity.
const reportEvery = 1024

// claimedLocked forgets claims of messages that were taken.
func (c *channel) claimedLocked() {
	for len(c.claims) > 0 && c.claims[0].seq <= c.taken {
		c.open -= c.claims[0].weight
		c.claims = c.claims[1:]
	}
}

// unclaimedLocked drops what was announced in messages that were not taken and never will be.
func (c *channel) unclaimedLocked(s *Session) {
	claims := c.claims
	c.claims, c.open = nil, 0
	if len(claims) == 0 {
		return
	}
	c.after = append(c.after, func() {
		for _, claim := range claims {
			for _, id := range claim.ids {
				s.dropped(id)
			}
		}
	})
}
