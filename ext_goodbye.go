// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// A parting is what the two ends have said of the end of their connection.
//
// An end that has calls of its own under way serves what the peer calls until these have
// ended: their handlers may have to call back. It says goodbye twice then, at first up to
// allIDs. Calls that it opens later do not count, so the end comes whatever else is called.
type parting struct {
	said   bool // by us
	served uint32
	before int    // how many streams that we opened before are left
	opened uint32 // the last id of those
	heard  bool   // from the peer
	last   uint32
	why    error // of the calls that the peer does not serve

	hurry                  *time.Timer // nil if no requests have to finish arriving before the end
	arrivals, arrivalsSeen uint32      // how many parts of requests have come, and had when it ran
}

// hear takes note of a goodbye of the peer's, at an end that has used ids up to used. Those
// above last, and up to the one that it returns, are not served and were until now. An error
// means that the peer has contradicted itself.
func (p *parting) hear(last, used uint32, why *status.Status) (upTo uint32, err error) {
	if p.heard {
		used = min(used, p.last)
		if last > p.last {
			return 0, fmt.Errorf("a goodbye up to id %d after one up to id %d", last, p.last)
		}
	}
	p.heard, p.last = true, last
	p.why = notExecuted(why.Message())
	return max(used, last), nil
}

// allIDs is the last id that is served while it is not known which that will be.
const allIDs = 1<<32 - 1

// isLast tells whether no more is going to be said.
func (p *parting) isLast() bool { return p.said && p.served != allIDs }

// settledLocked implements [mode]: it tells the peer which of its calls are served.
func (x *extended) settledLocked() {
	if !x.bye.said {
		x.bye.before, x.bye.opened = len(x.c.streams)-x.c.accepted, x.c.lastID
	}
	why := status.New(codes.Unavailable, "the peer is shutting down")
	switch {
	case x.bye.before == 0:
		x.partLocked(x.lastPeer, why)
	case !x.bye.said:
		x.partLocked(allIDs, why)
	}
	if x.bye.isLast() && x.bye.hurry == nil && len(x.incoming) > 0 {
		x.bye.arrivalsSeen = x.bye.arrivals
		x.bye.hurry = time.AfterFunc(standstill, x.giveUpIncoming)
	}
}

// standstill is how long nothing may come of the requests that had begun to arrive when this
// end said goodbye. It finishes soon what it does, and does not wait for a peer that does not.
const standstill = 500 * time.Millisecond

// giveUpIncoming refuses the requests that have come in part, if nothing more comes of any.
func (x *extended) giveUpIncoming() {
	c := x.c
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.closed || len(x.incoming) == 0:
		return
	case x.bye.arrivals != x.bye.arrivalsSeen:
		x.bye.arrivalsSeen = x.bye.arrivals
		x.bye.hurry.Reset(standstill)
		return
	}
	for id := range x.incoming {
		delete(x.incoming, id)
		c.servedLocked().Refused++
		x.turnAwayLocked(id, status.New(codes.Unavailable, ErrServerClosed.Error()))
	}
}

// partLocked tells the peer up to which id its calls are served, and why not more.
func (x *extended) partLocked(last uint32, why *status.Status) {
	if x.bye.isLast() || x.c.cause != nil {
		return
	}
	x.bye.said, x.bye.served = true, last
	x.urgeLocked(goodbyeFrame(last, why))
}

// removed takes note that a stream that this end opened is left no more.
func (p *parting) removed(id uint32) {
	if p.said && id <= p.opened {
		p.before--
	}
}

// heardGoodbyeLocked ends the calls that the peer does not serve.
func (x *extended) heardGoodbyeLocked(f *frame) {
	last, why, _ := wire.ParseGoodbye(f.data) // checkControl has looked at its length
	st := parseReason(why, codes.Unavailable)
	upTo, err := x.bye.hear(last, x.c.lastID, st)
	if err != nil {
		x.failConnLocked(&connError{err.Error()})
		return
	}
	x.c.parted = true
	if st.Code() == codes.ResourceExhausted && x.pings.timer != nil {
		x.pingsTooOftenLocked(st.Message())
	}
	for _, s := range x.c.oursLocked(last, upTo) {
		x.c.failLocked(s, x.bye.why)
	}
}
