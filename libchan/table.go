// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// The table of a session has each channel that is announced to the peer, or has a stream, by
// its id. Ids are of who has announced or opened: odd ones of the side that has dialled, even
// ones of the other. None is used twice.

// newID returns the next id of this side.
func (s *Session) newID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newIDLocked()
}

func (s *Session) newIDLocked() uint64 {
	if s.lastID == 0 {
		s.lastID = s.step
	} else {
		s.lastID += 2
	}
	return s.lastID
}

// isOwn tells whether the id is one of this side's.
func (s *Session) isOwn(id uint64) bool { return id%2 == s.step%2 }

// enter puts a channel into the table, whose stream is to be opened.
func (s *Session) enter(f *far) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cause != nil:
		return sessionError(s.cause)
	case s.channels[f.id] != nil:
		return fmt.Errorf("libchan: the peer has announced a channel with an id, %d, that is in use", f.id)
	}
	s.channels[f.id] = f
	s.streams++
	return nil
}

// settled takes note of how a stream has ended that this side has opened: with io.EOF, or it
// was refused, or has never been. Then nobody has attached to what the peer has announced.
func (f *far) settled(err error) {
	if err == io.EOF {
		return
	}
	f.s.mu.Lock()
	known := f.isRefused
	if !known {
		f.isRefused = true
		f.s.streams--
	}
	f.s.mu.Unlock()
	if !known {
		f.release()
	}
	f.s.forget(f)
}

// find returns what has the id, or nil.
func (s *Session) find(id uint64) *far {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.channels[id]
}

// forget takes a channel out of the table. A peer may have used its id again by then.
func (s *Session) forget(f *far) {
	s.mu.Lock()
	if s.channels[f.id] == f {
		delete(s.channels, f.id)
	}
	over := s.isDrained && len(s.channels) == 0 && s.cause == nil
	s.mu.Unlock()
	if over {
		go s.endIfDrained()
	}
}

// announce gives what a message carries to the peer. With an error nothing was given.
func (s *Session) announce(carrier *channel, m *message) error {
	if len(m.refs) == 0 {
		return nil
	}
	err := m.prepare(s)
	for end := range m.ends {
		if err == nil && end.c == carrier {
			err = ErrOwnChannel
		}
		if err == nil {
			err = s.announceEnd(m, end)
		}
	}
	if err != nil {
		s.recall(m)
	}
	return err
}

// announceEnd gives one end to the peer.
func (s *Session) announceEnd(m *message, end ref) error {
	f := &far{s: s, c: end.c, side: end.side}
	end.c.mu.Lock()
	switch f.base = end.c.sent; {
	case end.side == receiving:
		f.base -= uint64(len(end.c.queue))
		end.c.bufferForLocked(s)
	case end.c.capacity >= 0:
		f.base = end.c.taken // what is untaken still counts
	}
	end.c.moveLocked(end.side, stepAnnounce)
	end.c.sides[end.side].far = f
	s.mu.Lock()
	f.id = s.newIDLocked()
	over := s.cause
	if over == nil {
		s.channels[f.id] = f
	}
	s.mu.Unlock()
	end.c.unlock()
	m.ids = append(m.ids, f.id)
	return sessionError(over)
}

// recall takes back what was announced in a message that was not sent.
func (s *Session) recall(m *message) {
	announced := len(m.ids)
	for end := range m.ends {
		if announced--; announced < 0 {
			break
		}
		end.c.mu.Lock()
		if f := end.c.sides[end.side].far; f != nil {
			s.forget(f)
		}
		if end.c.moveLocked(end.side, stepRecall) {
			end.c.sides[end.side].far = nil
			end.c.bufferForLocked(nil)
		}
		end.c.unlock()
	}
	m.ids = nil
	m.takeBack()
}

// parse takes a message from the wire. What it carries is offered. With an error its files are
// the caller's.
func (s *Session) parse(in *incoming) (m *message, end error, err error) {
	w, err := parseMessage(in.raw.Payload)
	switch {
	case err != nil:
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	case w.end != nil && len(in.files) == 0:
		return nil, errorOf(w.end), nil
	case w.end != nil || in.chunk:
		return nil, nil, status.Error(codes.InvalidArgument, errMalformed.Error()+": an end that is none, or comes with files")
	}
	m = &message{codec: w.codec, body: w.body, closes: w.last}
	if m.codec == "" {
		m.codec = s.peers
	}
	files := in.files
	for i := range w.refs {
		r, err := s.offered(w.refs[:i], &w.refs[i], &files)
		if err != nil {
			return nil, nil, err
		}
		m.refs = append(m.refs, r)
	}
	if len(files) > 0 {
		return nil, nil, status.Errorf(codes.InvalidArgument, "libchan: a message comes with %d files to which it does not refer", len(files))
	}
	return m, nil, nil
}

// maxCapacity is the most that a peer's channel may have, plus one.
const maxCapacity = 1 << 31

// dropped takes note that nobody will attach to what this side has announced.
func (s *Session) dropped(id uint64) {
	f := s.find(id)
	if f == nil {
		return
	}
	f.c.mu.Lock()
	defer f.c.unlock()
	if f.c.sides[f.side].place != placeAnnounced {
		return
	}
	s.forget(f)
	f.c.moveLocked(f.side, stepEnd)
	f.c.bufferForLocked(nil)
	if f.side == sending {
		f.c.closedLocked(ErrDropped)
	} else if f.c.stopped == nil {
		f.c.stopped = ErrDropped
	}
}

// accept takes the stream that the peer has opened for a channel.
func (s *Session) accept(o *wireOpen, d *ttrpc.DetachedStream) error {
	take := s.arrive
	if o.attach {
		take = s.attach
	}
	if err := take(o, d); err != nil {
		return err
	}
	s.mu.Lock()
	s.handled++
	s.mu.Unlock()
	s.endIfDrained()
	return nil
}

// arrive takes the stream of a new channel of the peer's.
func (s *Session) arrive(o *wireOpen, d *ttrpc.DetachedStream) error {
	if s.isOwn(o.id) || o.id == 0 || o.capacity > maxCapacity {
		return status.Errorf(codes.InvalidArgument, "libchan: a new channel with the id %d and the capacity %d", o.id, o.capacity)
	}
	if s.opts.names != nil {
		if err := s.opts.names(o.name); err != nil {
			return status.FromProto(statusOf(err)).Err()
		}
	}
	c := &channel{capacity: int(o.capacity) - 1}
	f := &far{s: s, c: c, side: sending, id: o.id, stream: d, detached: d}
	c.sides[sending] = edge{place: placeAttached, far: f}
	c.sides[receiving].place = placeMoving
	if o.first != nil {
		c.arrivedLocked(f, o.firstMessage(c), nil) // nobody else knows it yet
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cause != nil:
		return sessionError(s.cause)
	case len(s.backlog) >= maxBacklog:
		return status.Errorf(codes.ResourceExhausted, "libchan: %d new channels wait to be accepted", maxBacklog)
	case s.channels[o.id] != nil:
		return status.Errorf(codes.InvalidArgument, "libchan: the id %d is in use", o.id)
	}
	s.channels[o.id] = f
	s.backlog = append(s.backlog, arrival{o.name, c})
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
	return nil
}

// firstMessage returns the message that came with the request.
func (o *wireOpen) firstMessage(c *channel) *incoming {
	return &incoming{chunk: c.chunks, raw: ttrpc.RawMessage{Payload: o.first}}
}

// attach takes the stream that the peer has opened for what this side has announced.
func (s *Session) attach(o *wireOpen, d *ttrpc.DetachedStream) error {
	f := s.find(o.id)
	if f == nil || !s.isOwn(o.id) {
		return status.Errorf(codes.NotFound, "libchan: no channel with the id %d is announced", o.id)
	}
	c := f.c
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.sides[f.side].place != placeAnnounced:
		return status.Errorf(codes.NotFound, "libchan: the channel with the id %d is attached already", o.id)
	case o.first != nil && f.side == receiving:
		return status.Errorf(codes.InvalidArgument, "libchan: a first message from the side that receives")
	}
	f.stream, f.detached = d, d
	c.moveLocked(f.side, stepAttach)
	if f.side == sending && c.capacity >= 0 && c.taken > f.base {
		c.after = append(c.after, f.reporter(c.taken))
	}
	c.bufferForLocked(nil)
	if o.first != nil {
		c.arrivedLocked(f, o.firstMessage(c), nil)
	}
	return nil
}
