// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxTooSoon is how many pings in a row may come too soon.
	maxTooSoon = 2

	// maxAnswers is how many control frames may wait to be written when a ping is
	// answered.
	maxAnswers = 100
)

// pings is what a connection knows of being alive.
type pings struct {
	timer *time.Timer // nil if we do not ping

	// Of ours.
	heard  uint64 // how often anything had come, when look was last called
	silent int    // how often it has been called since

	// Of the peer's.
	last    time.Duration // when one came
	tooSoon int           // how many came too soon, one after the other
}

// pingStep is what is to be done when nothing may have come for a while.
type pingStep uint8

const (
	pingNothing pingStep = iota // something has come
	pingSend
	pingWait
	pingGiveUp
)

// look is called when the interval has passed, and then twice in the timeout: if it was
// this process that stood still, the answer may be there and not read. heard counts how
// often anything has come.
func (p *pings) look(heard uint64) pingStep {
	if heard != p.heard {
		p.heard, p.silent = heard, 0
		return pingNothing
	}
	p.silent++
	return min(pingStep(p.silent), pingGiveUp)
}

// came takes note of a ping of the peer's. It reports whether pings come too often.
func (p *pings) came(at, least time.Duration) (tooOften bool) {
	if p.tooSoon++; at-p.last >= least {
		p.tooSoon = 0
	}
	p.last = at
	return p.tooSoon > maxTooSoon
}

func (p *pings) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// keepAliveLocked begins to look whether the peer is alive.
func (x *extended) keepAliveLocked() {
	if interval := x.cfg.keepalive.Interval; interval > 0 {
		x.c.ch.heard = new(atomic.Uint64)
		x.pings.timer = time.AfterFunc(interval, x.checkAlive)
	}
}

// checkAlive sends a ping if nothing has come for the interval, and ends the connection
// if nothing has come for the timeout after that.
func (x *extended) checkAlive() {
	c := x.c
	c.mu.Lock()
	defer c.unlock()
	if c.closed {
		return
	}
	switch x.pings.look(c.ch.heard.Load()) {
	case pingNothing:
		x.pings.timer.Reset(x.cfg.keepalive.Interval)
	case pingSend:
		x.urgeLocked(pingFrame(0, make([]byte, pingLength)))
		x.pings.timer.Reset(x.cfg.keepalive.Timeout / 2)
	case pingWait:
		x.pings.timer.Reset(x.cfg.keepalive.Timeout / 2)
	case pingGiveUp:
		if c.cause == nil {
			c.cause = ErrKeepalive
		}
	}
}

// pingedLocked answers a ping. Who pings too often is told goodbye.
func (x *extended) pingedLocked(f *frame) {
	if f.header.Flags&flagAnswer != 0 {
		return // that something came is all that counts
	}
	if x.pings.came(now(), x.cfg.keepalive.MinInterval) {
		x.c.draining, x.c.settled = true, true
		x.partLocked(status.Newf(codes.ResourceExhausted, "pings may come every %v only", x.cfg.keepalive.MinInterval))
	}
	if x.urgent.count < maxAnswers { // more tell a peer that does not read nothing new
		x.urgeLocked(pingFrame(flagAnswer, f.data))
	}
}
