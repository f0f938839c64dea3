// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"context"
	"io"
	"sync"

	"github.com/containerd/ttrpc"
)

// A control is the stream on which a session's sides tell each other of channels: what was
// taken of them, what is released. It outlives them. What is to be told waits here while
// something else leaves, one entry for each channel.
type control struct {
	s *Session

	mu       sync.Mutex
	stream   msgSender // nil until the session has begun
	reports  []wireReport
	at       map[uint64]int // the place in reports, by id
	releases []uint64
	accepted uint64
	told     uint64 // of accepted
	draining bool
	idle     *wireIdle
	urgent   bool
	flushing bool
	over     bool
}

type msgSender interface{ SendMsg(m any) error }

// maxReports is how many reports, or releases, a message has.
const maxReports = 1000

// report tells the peer of a channel.
func (s *Session) report(r wireReport) {
	c := &s.control
	c.mu.Lock()
	if i, ok := c.at[r.id]; ok {
		c.reports[i] = r
	} else {
		if c.at == nil {
			c.at = map[uint64]int{}
		}
		c.at[r.id] = len(c.reports)
		c.reports = append(c.reports, r)
	}
	c.urgent = true
	c.unlock()
}

// release tells the peer that nobody will attach to what it has announced.
func (s *Session) release(id uint64) {
	c := &s.control
	c.mu.Lock()
	c.releases = append(c.releases, id)
	c.urgent = true
	c.unlock()
}

// acceptedLocked tells the peer that one more of its new channels was accepted. The session's
// mu is held, so nothing is sent here.
func (c *control) acceptedLocked() {
	c.mu.Lock()
	c.accepted++
	if c.accepted-c.told >= maxBacklog/4 {
		c.urgent = true
		if c.flushing = !c.over && !c.flushing && c.stream != nil || c.flushing; c.flushing {
			go c.flush(c.s.over)
		}
	}
	c.mu.Unlock()
}

// drain tells the peer that the session drains.
func (c *control) drain() {
	c.mu.Lock()
	c.draining, c.urgent = true, true
	c.unlock()
}

// isIdle tells the peer that this side has no channel.
func (c *control) isIdle(idle wireIdle) {
	c.mu.Lock()
	c.idle, c.urgent = &idle, true
	c.unlock()
}

// begin has what waits be sent by the stream from now on.
func (c *control) begin(stream msgSender) {
	c.mu.Lock()
	c.stream = stream
	c.unlock()
}

// end sends nothing more.
func (c *control) end() {
	c.mu.Lock()
	c.over = true
	c.reports, c.at, c.releases = nil, nil, nil
	stream := c.stream
	c.mu.Unlock()
	if opened, ok := stream.(ttrpc.ClientStream); ok {
		_ = opened.CloseSend()
	}
}

// unlock sends what waits if any of it is urgent, without waiting itself.
func (c *control) unlock() {
	if c.over || c.flushing || !c.urgent || c.stream == nil {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.mu.Unlock()
	c.flush(tried)
}

// flush sends what waits. If that would have to wait longer than ctx, a goroutine does it.
func (c *control) flush(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.urgent && !c.over {
		m := c.nextLocked()
		payload := &ttrpc.RawMessage{Payload: m.append(nil)}
		stream := c.stream
		c.mu.Unlock()
		err := stream.SendMsg(ttrpc.Within(ctx, payload))
		if isTried(err) {
			go func() {
				_ = stream.SendMsg(ttrpc.Within(c.s.over, payload)) // else the session ends
				c.flush(c.s.over)
			}()
			c.mu.Lock()
			return
		}
		c.mu.Lock()
	}
	c.flushing = false
}

// nextLocked makes a message of what waits.
func (c *control) nextLocked() *wireControl {
	m := &wireControl{draining: c.draining, idle: c.idle}
	c.draining, c.idle = false, nil
	if c.accepted != c.told {
		m.accepted, c.told = c.accepted, c.accepted
	}
	n := min(len(c.reports), maxReports)
	m.reports, c.reports = c.reports[:n:n], c.reports[n:]
	clear(c.at)
	for i := range c.reports {
		c.at[c.reports[i].id] = i
	}
	n = min(len(c.releases), maxReports)
	m.releases, c.releases = c.releases[:n:n], c.releases[n:]
	c.urgent = len(c.reports)+len(c.releases) > 0
	return m
}

// A msgReceiver is the control stream as it is read.
type msgReceiver interface{ RecvMsg(m any) error }

// listen takes what the peer tells, until the stream or the session ends.
func (s *Session) listen(stream msgReceiver) {
	var raw ttrpc.RawMessage
	within := ttrpc.Within(s.over, &raw)
	for {
		err := stream.RecvMsg(within)
		var m wireControl
		if err == nil {
			m, err = parseControl(raw.Payload)
		}
		if err == nil && m.hello != nil {
			err = errMalformed
		}
		if err != nil {
			if cause := s.client.Cause(); cause != nil && err != io.EOF {
				err = cause
			}
			if err == io.EOF && s.hasShutDown() {
				err = ErrClosed // the peer was the first to see that all was over
			}
			s.end(err, false)
			return
		}
		if err := s.heard(&m); err != nil {
			s.end(err, true)
			return
		}
	}
}

// heard takes what the peer has told.
func (s *Session) heard(m *wireControl) error {
	for _, r := range m.reports {
		// What is late, of a channel that is known no more, means nothing.
		if f := s.find(r.id); f != nil && f.side == receiving {
			f.c.reported(f, r)
		}
	}
	for _, id := range m.releases {
		s.mu.Lock()
		never := !s.isOwn(id) || id == 0 || id > s.lastID
		s.mu.Unlock()
		if never {
			return errForeign
		}
		s.dropped(id)
	}
	s.mu.Lock()
	if m.accepted > s.opened {
		s.mu.Unlock()
		return errForeign
	}
	if m.accepted > s.accepted {
		s.accepted = m.accepted
		s.changedLocked()
	}
	s.mu.Unlock()
	if m.draining {
		s.drain(false)
	}
	if m.idle != nil {
		s.mu.Lock()
		s.peerIdle = m.idle
		s.mu.Unlock()
		s.endIfDrained()
	}
	return nil
}
