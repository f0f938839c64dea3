// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package watch makes calls of the bytes that pass on a connection.
//
// A [Conn] is given the bytes of both directions as they pass, cut in any way. It makes
// frames of them, keeps a table of the calls under way, and tells what happens by [Event]s. It never fails: what is no ttrpc is told as a note, and it goes on
// where it can. What it holds is bounded, whatever the peers send.
//
//	bytes → trunk (NRI's, if there is one) → half (frames) → session (calls) → Event
package watch

import (
	"sync"
	"time"
)

const (
	// DefaultMaxMessage is how many bytes of a message are kept by default.
	DefaultMaxMessage = 4<<20 + 64<<10

	// maxHeld bounds the parts of messages that a session holds.
	maxHeld = 32 << 20

	// maxStreams bounds the streams that a session knows, and apart the messages that have
	// begun to come in parts.
	maxStreams = 1 << 16

	// maxName is how many bytes of a service's and of a method's name are kept.
	maxName = 256
)

// A Config says how a connection is watched.
type Config struct {
	// Tell is called with each event, in order, by whoever calls Write, End or Close. It
	// must be quick and must not use the Conn. Events and what is in them are its own.
	Tell func(Event)

	// MaxMessage is how many bytes of a message are kept. Of longer ones only the size is
	// told. 0 means DefaultMaxMessage.
	MaxMessage int

	// Midway says that the bytes may begin within a frame, as those of a capture do.
	Midway bool

	// Trunk says that NRI's multiplexer is around it: several connections in one.
	Trunk bool

	// Frames has each frame told in words, before what it means.
	Frames bool
}

// A Conn watches one connection. Its methods may be called concurrently. It holds at most
// some 60 MiB with the default MaxMessage.
type Conn struct {
	mu     sync.Mutex // guards all, so that events have an order
	config Config
	open   map[uint32]*session // by number on the trunk; without one all is in 0
	trunks [2]trunk
	alien  string // what is spoken instead of ttrpc, once that is known
	ended  bool
}

// New begins to watch a connection.
func New(config Config) *Conn {
	if config.MaxMessage <= 0 {
		config.MaxMessage = DefaultMaxMessage
	}
	c := &Conn{config: config, open: make(map[uint32]*session)}
	if !config.Trunk {
		c.open[0] = newSession(&c.config, 0)
	}
	return c
}

// Write takes bytes that have passed: from who was dialled, or to it. It keeps none of data.
func (c *Conn) Write(fromServer bool, at time.Time, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.alien != "" || c.ended || len(data) == 0:
	case c.config.Trunk:
		c.trunks[side(fromServer)].take(c, fromServer, at, data)
	default:
		c.take(c.open[0], fromServer, at, data)
	}
}

// take gives bytes to a session.
func (c *Conn) take(s *session, fromServer bool, at time.Time, data []byte) {
	s.at = at
	s.halves[side(fromServer)].take(s, data)
	if s.alien != "" {
		c.alien = s.alien
		s.note(fromServer, "%s: the rest of the connection is not looked at", s.alien)
	}
}

// Gap says that bytes have passed which were not recorded.
func (c *Conn) Gap(fromServer bool, at time.Time, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.alien != "" || c.ended || n <= 0:
	case c.config.Trunk:
		c.trunks[side(fromServer)].lose(c, fromServer, at, "bytes are missing")
	default:
		s := c.open[0]
		s.at = at
		s.halves[side(fromServer)].gap(s, uint64(n))
	}
}

// End says that one direction has ended, and tells what of a frame is missing.
func (c *Conn) End(fromServer bool, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alien != "" || c.ended {
		return
	}
	for _, s := range c.sessions() {
		s.at = at
		s.halves[side(fromServer)].end(s)
	}
}

// Close says that the connection has ended, and tells of the calls that were under way. More
// that is written is ignored.
func (c *Conn) Close(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	for _, s := range c.sessions() {
		s.at = at
		s.lose()
	}
}

func side(fromServer bool) int {
	if fromServer {
		return 1
	}
	return 0
}
