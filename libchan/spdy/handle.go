// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"math"

	wire "github.com/moby/spdystream/spdy"
)

// handle does what a frame of the peer's asks for. An error ends the session. It waits while
// more has arrived than may.
func (t *Transport) handle(frame wire.Frame) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue.frames) > queueFrames {
		return errNotRead
	}
	switch f := frame.(type) {
	case *wire.SynStreamFrame:
		return t.handleOpening(f)
	case *wire.DataFrame:
		return t.handleData(f)
	case *wire.PingFrame:
		if f.Id%2 == 1 != t.client {
			t.queue.add(f)
		}
	case *wire.SettingsFrame:
		return t.handleSettings(f)
	case *wire.GoAwayFrame:
		t.handleGoAway(f)
	case *wire.WindowUpdateFrame:
		t.handleWindow(f)
	case *wire.SynReplyFrame:
		if st := t.streams[f.StreamId]; st != nil {
			st.handleReply(f)
		}
	case *wire.HeadersFrame:
		if st := t.streams[f.StreamId]; st != nil && f.CFHeader.Flags&wire.ControlFlagFin != 0 {
			st.handleEnd()
		}
	case *wire.RstStreamFrame:
		if st := t.streams[f.StreamId]; st != nil {
			st.failLocked(&ResetError{uint32(f.Status)})
			t.removeLocked(st)
		}
	}
	return nil
}

// handleOpening takes a stream that the peer opens.
func (t *Transport) handleOpening(f *wire.SynStreamFrame) error {
	id := f.StreamId & math.MaxInt32
	switch {
	case id%2 == 1 == t.client:
		return malformed("the peer opens a stream with an id of this side's, %d", id)
	case id <= t.lastPeer:
		return malformed("the peer opens a stream with the id %d after %d", id, t.lastPeer)
	}
	t.lastPeer = id
	ref, parent, top, err := t.opts.dialect.opened(f.Headers)
	st := &stream{t: t, ref: ref, id: id, parent: parent, window: t.window}
	switch {
	case err != nil && t.opts.dialect == Released:
		t.queue.add(t.opts.dialect.reply(id, false))
		return nil
	case err != nil, t.offered[ref] != nil && !top:
		st.resetLocked(malformed("its headers"))
		return nil
	case t.draining, t.peers >= t.opts.limits.Streams, len(t.arrivals)+len(t.offered) >= t.opts.limits.Unclaimed && t.awaited[ref] == nil:
		st.resetLocked(errRefused)
		return nil
	}
	switch named := t.awaited[ref]; {
	case top:
		t.arrivals = append(t.arrivals, st)
		t.arrived.raise()
	case named != nil:
		delete(t.awaited, ref)
		st = named
		st.id, st.window = id, t.window
		st.timer.Stop()
		st.changed.raise()
	default:
		t.offered[ref] = st
	}
	t.streams[id] = st
	t.peers++
	t.queue.add(t.opts.dialect.reply(id, true))
	st.payLocked()
	if f.CFHeader.Flags&wire.ControlFlagFin != 0 {
		st.handleEnd()
	}
	return nil
}

// handleReply takes the answer to an opening.
func (st *stream) handleReply(f *wire.SynReplyFrame) {
	if !st.own || st.replied {
		st.resetLocked(malformed("an answer that nobody waits for"))
		return
	}
	st.replied = true
	if err := refusal(f.Headers); err != nil {
		st.failLocked(err)
		st.t.removeLocked(st)
	} else if f.CFHeader.Flags&wire.ControlFlagFin != 0 {
		st.handleEnd()
	}
}

// handleData takes data.
func (t *Transport) handleData(f *wire.DataFrame) error {
	st := t.streams[f.StreamId]
	switch {
	case st == nil && (f.StreamId == 0 || f.StreamId > max(t.lastPeer, t.lastOwn)):
		return malformed("data of a stream, %d, that was never opened", f.StreamId)
	case st == nil: // it has ended here
		return nil
	case st.inEnd: // Send after Close of v0.1.0's sends, and nobody receives
		return nil
	}
	if n := len(f.Data); n > 0 {
		t.buffered += n
		st.pieces = append(st.pieces, f.Data)
		if st.deaf {
			st.deafenLocked()
		}
		if st.deaf && st.outEnd { // nobody is there any more
			st.resetLocked(errStopped)
		}
		st.changed.raise()
	}
	if f.Flags&wire.DataFlagFin != 0 {
		st.handleEnd()
	}
	for t.buffered > t.opts.limits.Buffer && t.cause == nil {
		_ = t.waitLocked(nil, &t.drained)
	}
	return nil
}

// handleEnd takes the end of what the peer sends.
func (st *stream) handleEnd() {
	st.inEnd = true
	st.changed.raise()
	st.closeLocked()
}

// handleSettings takes the one setting that means something here: the room that the peer has
// for streams at first.
func (t *Transport) handleSettings(f *wire.SettingsFrame) error {
	for _, s := range f.FlagIdValues {
		if s.Id != wire.SettingsInitialWindowSize {
			continue
		}
		if s.Value > math.MaxInt32 {
			return malformed("a first window of %d bytes", s.Value)
		}
		more := int64(s.Value) - t.window
		t.window = int64(s.Value)
		for _, st := range t.streams {
			st.window += more
			st.changed.raise()
		}
	}
	return nil
}

// handleWindow takes room that the peer gives to a stream.
func (t *Transport) handleWindow(f *wire.WindowUpdateFrame) {
	t.windows = true
	st := t.streams[f.StreamId]
	if st == nil {
		return
	}
	switch delta := f.DeltaWindowSize & math.MaxInt32; {
	case delta == 0:
		st.resetLocked(malformed("room for nothing"))
	case st.window+int64(delta) > math.MaxInt32:
		st.resetLocked(errWindow)
	default:
		st.window += int64(delta)
		st.changed.raise()
	}
}

// handleGoAway takes the peer's goodbye: streams that it has not seen will not be.
func (t *Transport) handleGoAway(f *wire.GoAwayFrame) {
	t.peerLeft, t.farewell = true, f.Status
	for id, st := range t.streams {
		if st.own && id > f.LastGoodStreamId {
			st.failLocked(errAwayPeer)
			t.removeLocked(st)
		}
	}
}
