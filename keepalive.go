// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pings is what a connection knows of being alive. It is guarded by the connection's mu.
type pings struct {
	// Of ours.
	timer  *time.Timer // nil if we do not ping
	heard  uint64      // how often anything had come, when the timer last ran
	silent int         // how often it has run since

	// Of the peer's.
	last    time.Duration // when one came
	tooSoon int           // how many came too soon, one after the other
}

const (
	// maxTooSoon is how many pings in a row may come too soon.
	maxTooSoon = 2

	// maxAnswers is how many control frames may wait to be written when a ping is
	// answered.
	maxAnswers = 100
)

func (p *pings) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// keepAliveLocked begins to look whether the peer is alive.
func (c *conn) keepAliveLocked() {
	if interval := c.cfg.pingInterval; interval > 0 {
		c.ch.heard = new(atomic.Uint64)
		c.ext.pings.timer = time.AfterFunc(interval, c.checkAlive)
	}
}

// checkAlive sends a ping if nothing has come for the interval, and ends the connection
// if nothing has come for the timeout after that. It looks twice in that time: if it was
// this process that stood still, the answer may be there and not read.
func (c *conn) checkAlive() {
	c.mu.Lock()
	defer c.unlock()
	p := &c.ext.pings
	if c.closed {
		return
	}
	heard := c.ch.heard.Load()
	if heard != p.heard {
		p.heard, p.silent = heard, 0
		p.timer.Reset(c.cfg.pingInterval)
		return
	}
	switch p.silent++; p.silent {
	case 1:
		c.urgeLocked(pingFrame(0, make([]byte, pingLength)))
		fallthrough
	case 2:
		p.timer.Reset(c.cfg.pingTimeout / 2)
	default:
		if c.cause == nil {
			c.cause = ErrKeepalive
		}
	}
}

// pingedLocked answers a ping. Who pings too often is told goodbye.
func (c *conn) pingedLocked(f *frame) {
	if f.header.Flags&flagAnswer != 0 {
		return // that something came is all that counts
	}
	p, at := &c.ext.pings, now()
	if p.tooSoon++; at-p.last >= c.cfg.minPingInterval {
		p.tooSoon = 0
	}
	p.last = at
	if p.tooSoon > maxTooSoon {
		c.draining, c.settled = true, true
		c.partLocked(status.Newf(codes.ResourceExhausted, "pings may come every %v only", c.cfg.minPingInterval))
	}
	if c.ext.urgent.count < maxAnswers { // more tell a peer that does not read nothing new
		c.urgeLocked(pingFrame(flagAnswer, f.data))
	}
}
