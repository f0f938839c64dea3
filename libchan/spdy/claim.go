// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"time"

	"github.com/containerd/ttrpc/libchan"
)

// claim returns ends for the streams that a message of the peer's names. It does not matter
// whether a stream or the message that names it comes first.
func (t *Transport) claim(names []name) ([]any, error) {
	var streams []*stream
	t.mu.Lock()
	for _, n := range names {
		st, err := t.claimLocked(n)
		if err != nil {
			for _, st := range streams {
				st.deafenLocked()
				st.resetLocked(errUnclaimed)
			}
			t.mu.Unlock()
			return nil, err
		}
		streams = append(streams, st)
	}
	t.mu.Unlock()
	var ends []any
	for i, st := range streams {
		ends = append(ends, st.end(names[i].role))
	}
	return ends, nil
}

// claimLocked returns a stream that is named for the first time.
func (t *Transport) claimLocked(n name) (*stream, error) {
	if st := t.offered[n.ref]; st != nil {
		delete(t.offered, n.ref)
		return st, nil
	}
	switch {
	case t.awaited[n.ref] != nil:
		return nil, malformed("a channel, %d, is named twice", n.ref)
	case len(t.awaited) >= t.opts.limits.Unclaimed:
		return nil, malformed("messages name more than %d channels that are not open", t.opts.limits.Unclaimed)
	}
	st := &stream{t: t, ref: n.ref, window: t.window}
	if t.cause != nil {
		st.err = ended(t.cause)
		return st, nil
	}
	for _, other := range t.streams {
		if other.ref == n.ref && !other.own {
			return nil, malformed("a channel, %d, is named that is another's, or was named before", n.ref)
		}
	}
	t.awaited[n.ref] = st
	st.timer = time.AfterFunc(opensWithin, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if st.id == 0 {
			st.failLocked(errNeverOpened)
			t.removeLocked(st)
		}
	})
	return st, nil
}

// end returns an end for this side of a stream that the peer has opened, or will.
func (st *stream) end(r role) any {
	switch r {
	case receives:
		r, s := libchan.BufferedPipe(0)
		st.grow()
		go st.receiveInto(s.(libchan.ContextSender))
		return r
	case sends:
		r, s := libchan.BufferedPipe(0)
		go st.sendFrom(r.(libchan.ContextReceiver))
		return s
	}
	return nil
}

// grow is growLocked.
func (st *stream) grow() {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	st.growLocked()
}
