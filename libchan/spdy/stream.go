// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"io"
	"math"
	"time"

	wire "github.com/moby/spdystream/spdy"
)

// A stream is one of SPDY's: that of a channel, or of bytes. The Transport's lock guards what
// is not immutable.
type stream struct {
	t   *Transport
	ref uint64 // what headers and messages call it
	own bool   // this side has opened it

	id      wire.StreamId // 0 while a message has named it and the peer has not opened it
	parent  uint64        // the ref of the stream whose message is to name it, or 0
	pieces  [][]byte      // that have arrived
	deaf    bool          // nobody wants what arrives
	inEnd   bool          // the peer sends no more
	outEnd  bool          // this side sends no more
	replied bool
	err     error       // how it has ended before both have
	giveUp  func(error) // is told that, or nil
	window  int64       // what the peer has room for
	owed    int         // bytes that the peer is to be given room for
	changed signal
	timer   *time.Timer // until which it has to be opened, or nil
}

const (
	// firstWindow is the room that each side of a stream has at first, by SPDY/3.
	firstWindow = 64 << 10

	// ownWindow is what this side gives to streams that somebody reads.
	ownWindow = 256 << 10

	// owedAt is how many bytes are owed before the peer is told.
	owedAt = 32 << 10

	// wholeMessage is the size up to which messages leave in one frame, for peers that take a
	// frame for a message, whatever room there is.
	wholeMessage = 16 << 10

	// opensWithin is how long a stream may take to arrive that a message names, by default.
	opensWithin = 10 * time.Second
)

// openLocked opens a stream. parent is that whose message will name it, or nil.
func (t *Transport) openLocked(parent *stream, r role) (*stream, error) {
	switch {
	case t.cause != nil:
		return nil, ended(t.cause)
	case t.draining, t.peerLeft:
		return nil, errAwayPeer
	case t.lastOwn > math.MaxInt32-2:
		return nil, errIDs
	}
	st := &stream{t: t, own: true, window: t.window}
	switch {
	case t.lastOwn > 0:
		t.lastOwn += 2
	case t.client:
		t.lastOwn = 1
	default:
		t.lastOwn = 2
	}
	st.id, st.ref = t.lastOwn, uint64(t.lastOwn)
	if t.opts.dialect == Main {
		t.lastRef = max(t.lastRef, 1) + 1
		st.ref = t.lastRef
	}
	t.streams[st.id] = st
	t.queue.add(t.opts.dialect.opening(st, parent, r.isBytes()))
	return st, nil
}

// next returns bytes that have arrived, io.EOF after the last, or why no more come. It waits
// until stop is closed.
func (st *stream) next(stop <-chan struct{}) ([]byte, error) {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	for {
		switch {
		case len(st.pieces) > 0:
			piece := st.pieces[0]
			st.pieces = st.pieces[1:]
			return piece, nil
		case st.inEnd:
			return nil, io.EOF
		case st.err != nil:
			return nil, st.err
		}
		if err := st.t.waitLocked(stop, &st.changed); err != nil {
			return nil, err
		}
	}
}

// consumed tells that nobody holds bytes any more that have arrived.
func (st *stream) consumed(n int) {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	st.consumedLocked(n)
}

func (st *stream) consumedLocked(n int) {
	st.t.buffered -= n
	st.t.drained.raise()
	if st.owed += n; st.owed >= owedAt {
		st.payLocked()
	}
}

// payLocked gives the peer the room that it is owed.
func (st *stream) payLocked() {
	if st.id != 0 && st.owed > 0 && !st.inEnd && st.err == nil {
		st.t.queue.add(&wire.WindowUpdateFrame{StreamId: st.id, DeltaWindowSize: uint32(st.owed)})
		st.owed = 0
	}
}

// growLocked gives the peer more room than it has at first, and so tells it that room counts:
// somebody reads from the stream.
func (st *stream) growLocked() {
	st.owed += ownWindow - firstWindow
	st.payLocked()
}

// deafenLocked drops what has arrived and will: nobody reads.
func (st *stream) deafenLocked() {
	st.deaf = true
	for _, piece := range st.pieces {
		st.consumedLocked(len(piece))
	}
	st.pieces = nil
}

// send sends bytes, in one frame if there is room for least of them or, if that is fewer, for
// all. It waits for room until stop is closed, but not in the middle.
func (st *stream) send(stop <-chan struct{}, b []byte, least int) error {
	t := st.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(b) > 0 {
		n, err := st.roomLocked(stop, min(len(b), least))
		if err != nil {
			return err
		}
		n = min(n, len(b))
		st.window -= int64(n)
		t.queue.add(&wire.DataFrame{StreamId: st.id, Data: b[:n:n]})
		b, stop = b[n:], nil
	}
	return nil
}

// roomLocked waits until the peer has room for n bytes and returns for how many. What it says
// of its windows counts from its first update on: some never send any.
func (st *stream) roomLocked(stop <-chan struct{}, n int) (int, error) {
	n = min(n, max(1, int(st.t.window/2))) // there is not more at times if windows are small
	for {
		wait := &st.changed
		switch t := st.t; {
		case st.err != nil:
			return 0, st.err
		case st.id == 0: // it is still to be opened
		case !t.queue.hasRoom():
			wait = &t.queue.room
		case !t.windows:
			return wire.MaxDataLength, nil
		case st.window >= int64(n):
			return int(st.window), nil
		}
		if err := st.t.waitLocked(stop, wait); err != nil {
			return 0, err
		}
	}
}

// finish ends what this side sends.
func (st *stream) finish() {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	for st.id == 0 && st.err == nil {
		_ = st.t.waitLocked(nil, &st.changed)
	}
	st.finishLocked()
}

func (st *stream) finishLocked() {
	if st.outEnd || st.err != nil {
		return
	}
	st.outEnd = true
	st.t.queue.add(&wire.DataFrame{StreamId: st.id, Flags: wire.DataFlagFin})
	st.closeLocked()
}

// closeLocked removes the stream if both sides have ended it.
func (st *stream) closeLocked() {
	if st.inEnd && st.outEnd {
		st.t.removeLocked(st)
	}
}

// reset ends the stream at once.
func (st *stream) reset(err error) {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	st.resetLocked(err)
}

func (st *stream) resetLocked(err error) {
	if st.err != nil || st.inEnd && st.outEnd {
		return
	}
	if st.id != 0 {
		st.t.queue.add(&wire.RstStreamFrame{StreamId: st.id, Status: statusOf(err)})
	}
	st.failLocked(err)
	st.t.removeLocked(st)
}

// failLocked ends the stream for this side.
func (st *stream) failLocked(err error) {
	if st.err != nil || st.inEnd && st.outEnd {
		return
	}
	st.err = err
	if st.timer != nil {
		st.timer.Stop()
	}
	if st.giveUp != nil {
		go st.giveUp(err)
	}
	st.changed.raise()
}

// whenFailed has f called when the stream ends before both sides have ended it.
func (st *stream) whenFailed(f func(error)) {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	if st.giveUp = f; st.err != nil {
		go f(st.err)
	}
}

// removeLocked takes a stream out of the tables.
func (t *Transport) removeLocked(st *stream) {
	if t.streams[st.id] == st {
		delete(t.streams, st.id)
		if !st.own {
			t.peers--
		}
	}
	for _, table := range []map[uint64]*stream{t.offered, t.awaited} {
		if table[st.ref] == st {
			delete(table, st.ref)
		}
	}
	t.quiet.raise()
}

// forgetNamed releases what the stream's messages should have named: they have all been seen.
// In Main refs are not unique, so there these streams wait for the end of the session.
func (st *stream) forgetNamed() {
	t := st.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if st.id == 0 || t.opts.dialect == Main {
		return
	}
	for _, other := range t.offered {
		if other.parent != 0 && other.parent == st.ref {
			other.deafenLocked()
			other.resetLocked(errUnclaimed)
		}
	}
}
