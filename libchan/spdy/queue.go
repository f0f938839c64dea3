// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package spdy

import (
	"time"

	wire "github.com/moby/spdystream/spdy"
)

// A queue holds frames that one goroutine writes, in order. Who has something to send waits
// for room in it. What answers the peer does not wait, as it is the reader's; there is a bound
// at which the peer has asked for more than it reads. The Transport's lock guards it.
type queue struct {
	frames []wire.Frame
	bytes  int    // of data
	last   error  // with which the session ends once the queue is empty, or nil
	ready  signal // there are frames
	room   signal // there is room
}

const (
	queueBytes  = 256 << 10
	queueFrames = 20000

	// patience is how long the session lasts after the connection has taken nothing more.
	patience = time.Second
)

func (q *queue) hasRoom() bool { return q.bytes < queueBytes && len(q.frames) < queueFrames/2 }

// add adds a frame.
func (q *queue) add(f wire.Frame) {
	if q.last != nil {
		return
	}
	q.frames = append(q.frames, f)
	if data, ok := f.(*wire.DataFrame); ok {
		q.bytes += len(data.Data)
	}
	q.ready.raise()
}

// take takes all frames out of it.
func (q *queue) take() []wire.Frame {
	frames := q.frames
	q.frames, q.bytes = nil, 0
	q.room.raise()
	return frames
}

// write writes what is queued until the session ends.
func (t *Transport) write() {
	for {
		t.mu.Lock()
		for len(t.queue.frames) == 0 && t.queue.last == nil && t.cause == nil {
			_ = t.waitLocked(nil, &t.queue.ready)
		}
		last, over := t.queue.last, t.cause != nil
		frames := t.queue.take()
		t.mu.Unlock()
		if over {
			return
		}
		if err := t.frames.write(frames); err != nil { // what has arrived is still read
			time.AfterFunc(patience, func() { t.end(err) })
			return
		}
		if last != nil {
			t.end(last)
			return
		}
	}
}
