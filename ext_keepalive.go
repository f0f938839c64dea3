// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"errors"
	"fmt"
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
	as    Keepalive   // how we do

	// Of ours.
	sent    time.Duration // when one was sent, if nothing has come since; else 0
	before  time.Duration // when the last byte had come then
	due     time.Duration // when look is to be called again
	excused bool          // look was called late since, after the timeout
	doubted bool          // the reader is to say whether anything has come

	// Of the peer's.
	last    time.Duration // when one came
	tooSoon int           // how many came too soon, one after the other
}

// pingStep is what is to be done about a peer of which something may not have come for long.
type pingStep uint8

const (
	pingNothing pingStep = iota
	pingSend
	pingGiveUp
)

// look tells, at a time, what is to be done if the last byte came when heard says, and when
// to look again. A ping is sent when the interval has passed since, and the peer is given up
// when the timeout has after that. If look is called late then, it was this process that stood
// still, and the peer may have, too: that is excused once.
func (p *pings) look(at, heard time.Duration, k *Keepalive) (step pingStep, next time.Duration) {
	soon := min(k.Interval, k.Timeout/2)
	late := at-p.due > soon
	defer func() { p.due = at + next }()
	if p.sent == 0 || heard != p.before {
		p.sent, p.excused, p.doubted = 0, false, false
		if idle := at - heard; idle < k.Interval {
			return pingNothing, k.Interval - idle
		}
		p.sent, p.before = at, heard
		return pingSend, soon
	}
	switch left := p.sent + k.Timeout - at; {
	case left > 0:
		return pingNothing, min(soon, left)
	case late && !p.excused:
		p.excused = true
		return pingNothing, soon
	}
	return pingGiveUp, k.Timeout
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
		x.pingAfterLocked(interval)
	}
}

// pingAfterLocked has the peer pinged whenever nothing has come for that long. The reader
// calls it.
func (x *extended) pingAfterLocked(interval time.Duration) {
	x.c.ch.heard = new(atomic.Int64)
	x.c.ch.heard.Store(int64(now()))
	x.pings.as = x.cfg.keepalive
	x.pings.as.Interval = interval
	x.pings.timer = time.AfterFunc(interval, x.checkAlive)
}

// silenceWithFiles is how long nothing may come from a peer that has sent files, before it
// is pinged whatever the options say.
const silenceWithFiles = time.Minute

// gotFilesLocked is called when files have come: one may be the peer's own end of the
// connection, or lead to it, and then that does not end when the peer does.
func (x *extended) gotFilesLocked() {
	if x.pings.timer == nil && !x.c.closed {
		x.pingAfterLocked(silenceWithFiles)
	}
}

// checkAlive sends a ping if nothing has come for the interval, and ends the connection
// if nothing has come for the timeout after that. An answer may be there and the reader not
// have had the processor, so it is the reader that says so, or does not for another timeout.
func (x *extended) checkAlive() {
	c := x.c
	c.mu.Lock()
	defer c.unlock()
	if c.closed || c.lost != nil {
		return
	}
	step, next := x.pings.look(now(), time.Duration(c.ch.heard.Load()), &x.pings.as)
	switch step {
	case pingGiveUp:
		if x.pings.doubted {
			x.silentLocked()
			return
		}
		x.pings.doubted = true
		c.moveSeatLocked(seatNeeded) // if nobody reads
		c.wakeReaderLocked(settleGrace)
	case pingSend:
		x.urgeLocked(pingFrame(0, make([]byte, pingLength)))
	}
	x.pings.timer.Reset(next)
}

// tookAllLocked implements [mode].
func (x *extended) tookAllLocked() {
	switch {
	case !x.pings.doubted || x.c.closed:
	case time.Duration(x.c.ch.heard.Load()) == x.pings.before:
		x.silentLocked()
	default:
		x.pings.timer.Reset(0)
	}
}

// silentLocked ends the connection, for the peer has not answered.
func (x *extended) silentLocked() {
	if x.c.cause == nil {
		x.c.cause = ErrKeepalive
	}
}

// pingedLocked answers a ping. Who pings too often is told goodbye.
func (x *extended) pingedLocked(f *frame) {
	if f.header.Flags&flagAnswer != 0 {
		return // that something came is all that counts
	}
	if x.pings.came(now(), x.cfg.keepalive.MinInterval) {
		if !x.bye.isLast() {
			x.c.warnLocked("ttrpc: the peer pings too often", "allowed", x.cfg.keepalive.MinInterval)
		}
		x.c.draining, x.c.settled = true, true
		x.partLocked(x.lastPeer, status.Newf(codes.ResourceExhausted, "pings may come every %v only", x.cfg.keepalive.MinInterval))
	}
	if x.urgent.count < maxAnswers { // more tell a peer that does not read nothing new
		x.urgeLocked(pingFrame(flagAnswer, f.data))
	}
}

// pingsTooOftenLocked takes note that the peer has parted because of our pings, which is how
// the connection is going to end.
func (x *extended) pingsTooOftenLocked(why string) {
	c := x.c
	if c.blame != nil {
		return
	}
	c.blame = fmt.Errorf("%w: %s", ErrTooManyPings, why)
	err, nc := c.blame, c.nc
	c.after = append(c.after, func() {
		c.cfg.log.Error("ttrpc: the peer ends the connection", "error", err, "peer", nc.RemoteAddr())
	})
}

// maxPingInterval is the interval of pings that no peer's complaints lengthen.
const maxPingInterval = 24 * time.Hour

// following implements [extension]: after a peer to which pings came too often, they are sent
// a quarter as often.
func (e *extensions) following(cause error) extension {
	if !errors.Is(cause, ErrTooManyPings) || e.keepalive.Interval >= maxPingInterval {
		return e
	}
	calmer := *e
	calmer.keepalive.Interval *= 4
	return &calmer
}
