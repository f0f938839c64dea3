// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// A far is the side of a channel that is beyond a session. Its stream carries messages one
// way. What the receiving side has to say leaves by the session's control stream.
type far struct {
	// Immutable.
	s     *Session
	c     *channel
	side  side
	id    uint64
	name  string // of a new channel that is to be opened
	isNew bool

	// Set when the side is attached, and immutable then.
	stream interface {
		SendMsg(m any) error
		RecvMsg(m any) error
	}
	opened   ttrpc.ClientStream    // the stream, if we opened it
	detached *ttrpc.DetachedStream // or if the peer did
	giveUp   context.CancelFunc    // ends a stream that we opened to receive, else nil

	// Guarded by the channel's mu.
	base    uint64 // how many of the channel's messages reports this way do not count
	told    uint64 // how many the peer was told are taken
	refs    bool   // messages came with references
	ending  bool   // what comes next on a byte stream is its end
	isFinal bool   // the peer takes no more
	isLast  bool   // a message has told the peer that the sender ends with it

	isRefused bool // the stream that we opened; guarded by the session's mu
}

// takenOf returns how many of those messages of the channel that have gone this way were taken,
// if so many were of all.
func (f *far) takenOf(all uint64) uint64 { return max(all, f.base) - f.base }

// reporter returns what tells the peer that so many of all the channel's messages were taken.
func (f *far) reporter(taken uint64) func() {
	r := wireReport{id: f.id, taken: f.takenOf(taken)}
	return func() { f.s.report(r) }
}

// openWith opens the stream of an offered side, with the first message if that is small and
// m is not nil. It tells whether m went with it.
func (f *far) openWith(m *message) (with bool, err error) {
	o := wireOpen{session: f.s.far, id: f.id, attach: !f.isNew, name: f.name}
	if f.isNew {
		o.capacity = uint64(f.c.capacity + 1)
	}
	if m != nil && len(m.body) < maxFirst && len(m.files) == 0 {
		if p := m.payload(f.s); len(p) <= maxFirst {
			o.first, with = p, true
		}
	}
	if err := f.s.enter(f); err != nil {
		return false, err
	}
	desc := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
	ctx := context.Background()
	if f.side == sending {
		ctx, f.giveUp = context.WithCancel(ctx)
	}
	stream, err := f.s.client.NewStream(ctx, desc, serviceName, "Open", &ttrpc.RawMessage{Payload: o.append(nil)})
	if err != nil {
		f.settled(err)
		return false, err
	}
	f.c.mu.Lock()
	f.stream, f.opened = stream, stream
	f.c.moveLocked(f.side, stepOpen)
	if f.side == receiving && f.s.drains() {
		f.c.watchLocked()
	}
	f.c.unlock()
	return with, nil
}

// finish ends the stream on which all was sent. Claims may still be reported if awaited is
// set.
func (f *far) finish(end error, awaited bool) {
	if !awaited {
		f.s.forget(f)
	}
	switch {
	case end == nil && f.isLast: // so the peer ends the stream
		return
	case end == nil:
		f.endSending()
		return
	}
	last := wireMessage{end: statusOf(end)}
	raw := &ttrpc.RawMessage{Payload: last.appendBeside(nil)}
	err := error(nil)
	if f.c.chunks {
		err = f.stream.SendMsg(ttrpc.Within(tried, new(ttrpc.RawMessage)))
	}
	isMarked := !isTried(err)
	if isMarked {
		err = f.stream.SendMsg(ttrpc.Within(tried, raw))
	}
	if !isTried(err) {
		f.endSending()
		return
	}
	go func() {
		if !isMarked {
			_ = f.stream.SendMsg(ttrpc.Within(f.s.over, new(ttrpc.RawMessage)))
		}
		_ = f.stream.SendMsg(ttrpc.Within(f.s.over, raw))
		f.endSending()
	}()
}

// endSending ends this side of the stream. What fails here has ended already.
func (f *far) endSending() {
	if f.detached != nil {
		_ = f.detached.End(nil, nil)
		return
	}
	_ = f.opened.CloseSend()
}

// cut ends the stream of a sending side before the sender has ended it. If we have opened the
// stream that can only be said by giving it up, which is for the end of the session.
func (f *far) cut(why error) {
	if f.detached != nil {
		_ = f.detached.End(nil, status.FromProto(statusOf(why)).Err())
		return
	}
	f.giveUp()
}

// stop tells the sender that no more than taken of its messages are taken, and why. The stream
// ends with success: without, it would be one that was refused.
func (f *far) stop(taken uint64, cause error) {
	st := statusOf(cause)
	f.s.forget(f)
	f.s.report(wireReport{id: f.id, taken: taken, final: true, cause: st})
	switch {
	case f.s.Cause() != nil:
		f.cut(cause)
	case f.detached != nil:
		_ = f.detached.End(nil, nil)
	}
}

// ended takes note that the sender has ended, and that all it sent was taken, which it is
// told if it waits for that.
func (f *far) ended(taken uint64, told bool) {
	f.s.forget(f)
	if told {
		f.s.report(wireReport{id: f.id, taken: taken, final: true})
	}
	switch {
	case f.detached != nil:
		_ = f.detached.End(nil, nil)
	case f.opened != nil && f.s.Cause() != nil:
		f.giveUp() // the peer may never end it
	}
}

// stoppedByPeer ends the stream of a receiving side that takes no more.
func (f *far) stoppedByPeer() {
	f.s.forget(f)
	if f.detached != nil {
		_ = f.detached.End(nil, nil)
	}
}

// release tells the peer that nobody will attach to what it has announced.
func (f *far) release() {
	if !f.isNew {
		f.s.release(f.id)
	}
}

// refuse is release that says why.
func (f *far) refuse(cause error) {
	if cause == ErrDropped {
		f.release()
		return
	}
	f.s.report(wireReport{id: f.id, final: true, cause: statusOf(cause)})
}

// watchLocked has the end of the stream on which we send noticed, if it is ours to open:
// whoever waits for something else would not. It needs a goroutine, so only those channels have
// it that carry ends, or whose sender waits for what was taken, or for Done.
func (c *channel) watchLocked() {
	rx := &c.sides[receiving]
	isOurs := rx.place == placeOffered && !c.sending && !c.pumping || rx.place == placeAttached && rx.far.opened != nil
	if c.watching || !isOurs {
		return
	}
	c.watching = true
	go c.awaitEnd(rx.far)
}

// watchEnd is watchLocked of a stream that there is.
func (c *channel) watchEnd() {
	c.mu.Lock()
	defer c.unlockQuietly()
	if c.sides[receiving].place == placeAttached {
		c.watchLocked()
	}
}

// awaitEnd waits for the end of the stream, which it opens if need be.
func (c *channel) awaitEnd(f *far) {
	c.mu.Lock()
	defer c.unlock()
	rx := &c.sides[receiving]
	if rx.place == placeOffered && !c.sending && !c.pumping {
		c.sending = true
		c.openLocked(receiving)
		c.sending = false
		c.changedLocked()
	}
	if f.opened == nil {
		c.watching = false
		return
	}
	c.unlockQuietly()
	err := f.opened.RecvMsg(new(ttrpc.RawMessage))
	awaited := f.s.find(f.id) == f
	f.settled(err)
	c.mu.Lock()
	if err == io.EOF {
		c.awaitReportLocked(f)
	} else if awaited || rx.place == placeAttached {
		c.partedLocked(f, err)
	}
}

// lookLocked has it noticed whether the stream was refused that we have opened, and use no more.
// Of one by which something has come we know that it was not.
func (c *channel) lookLocked(f *far) {
	switch {
	case f.opened == nil:
	case f.side == receiving && c.taken <= f.base && !c.watching:
		c.watching = true
		c.after = append(c.after, func() { go c.awaitEnd(f) })
	case f.side == sending && c.sent == f.base:
		c.after = append(c.after, func() { go c.awaitAnswer(f) })
	}
}

// awaitAnswer waits for anything to come by a stream that we have opened to receive.
func (c *channel) awaitAnswer(f *far) {
	c.mu.Lock()
	for c.reading {
		_ = c.waitLocked(context.Background()) // whoever reads was told to stop
	}
	c.unlockQuietly()
	m := &ttrpc.FileMessage{Message: new(ttrpc.RawMessage)}
	err := f.opened.RecvMsg(m)
	closeFiles(m.Files)
	if err != nil {
		f.settled(err)
	}
}

// reportTimeout is how long the last report of a receiver may take that has ended the stream.
const reportTimeout = 10 * time.Second

// awaitReportLocked waits for the report that comes when a receiver has ended the stream before
// the sender. A peer that sends none has taken nothing more.
func (c *channel) awaitReportLocked(f *far) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	for c.sides[receiving].place == placeAttached && c.stopped == nil && !f.isFinal {
		if c.waitLocked(ctx) != nil {
			f.isFinal, c.stopped = true, errorOf(statusOf(errSilent))
			c.unclaimedLocked(f.s)
		}
	}
}

// partedLocked takes note that a stream on which we send was refused, or has failed.
func (c *channel) partedLocked(f *far, err error) {
	if c.stopped != nil {
		return
	}
	c.stopped = f.s.errorOf(err)
	if c.taken == f.base && !errors.Is(c.stopped, ErrSessionEnded) {
		c.unclaimedLocked(f.s)
	}
}
