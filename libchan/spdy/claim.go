// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"io"
	"time"

	"github.com/containerd/ttrpc/libchan"
)

// claim returns ends for the streams that a message of the peer's names. It does not matter
// whether a stream or the message that names it comes first.
func (t *Transport) claim(names []name) []any {
	streams := make([]*stream, len(names))
	t.mu.Lock()
	for i, n := range names {
		streams[i] = t.claimLocked(n)
	}
	t.mu.Unlock()
	ends := make([]any, len(names))
	for i, st := range streams {
		ends[i] = st.end(names[i].role)
	}
	return ends
}

// claimLocked returns a stream that a message names. If that may not be named, the stream has
// ended with an error that says so.
func (t *Transport) claimLocked(n name) *stream {
	if st := t.offered[n.ref]; st != nil {
		delete(t.offered, n.ref)
		return st
	}
	st := &stream{t: t, ref: n.ref, window: t.window}
	taken := t.awaited[n.ref] != nil
	for _, other := range t.streams {
		taken = taken || other.ref == n.ref && !other.own
	}
	switch {
	case t.cause != nil:
		st.err = ended(t.cause)
	case taken:
		st.err = malformed("a message names a channel, %d, that was opened by itself, or named before", n.ref)
	case len(t.awaited) >= t.opts.limits.Unclaimed:
		st.err = malformed("messages name more than %d channels that are not open", t.opts.limits.Unclaimed)
	}
	if st.err != nil {
		return st
	}
	t.awaited[n.ref] = st
	st.timer = time.AfterFunc(t.opts.opens, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if st.id == 0 {
			st.failLocked(errNeverOpened)
			t.removeLocked(st)
		}
	})
	return st
}

// end returns an end for this side of a stream that the peer has opened, or will.
func (st *stream) end(r role) any {
	switch r {
	case receives:
		r, s := libchan.BufferedPipe(0)
		st.give(s)
		return r
	case sends:
		r, s := libchan.BufferedPipe(0)
		st.give(r)
		return s
	}
	ours, end := libchan.NewByteStream()
	switch r {
	case reads:
		st.giveBytes(onlyWriter{ours})
		r := io.Reader(end)
		return &r
	case writes:
		st.giveBytes(onlyReader{ours})
		w := io.Writer(end)
		return &w
	}
	st.giveBytes(ours)
	return end
}

// grow is growLocked.
func (st *stream) grow() {
	st.t.mu.Lock()
	defer st.t.mu.Unlock()
	st.growLocked()
}
