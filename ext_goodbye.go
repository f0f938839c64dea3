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
type parting struct {
	said   bool // by us
	served uint32
	heard  bool // from the peer
	last   uint32
	why    error // of the calls that the peer does not serve

	hurry                  *time.Timer // nil if no requests have to finish arriving before the end
	arrivals, arrivalsSeen int         // how many parts of requests have come, and had when it ran
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

// settledLocked implements [mode]: it tells the peer which of its calls are served.
func (x *extended) settledLocked() {
	if !x.bye.said {
		x.partLocked(status.New(codes.Unavailable, "the peer is shutting down"))
	}
	if x.bye.hurry == nil && len(x.incoming) > 0 {
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
		c.served.Refused++
		x.replyLocked(id, status.New(codes.Unavailable, ErrServerClosed.Error()))
	}
}

// partLocked tells the peer which of its calls are served, and why not more.
func (x *extended) partLocked(why *status.Status) {
	if x.bye.said || x.c.cause != nil {
		return
	}
	x.bye.said, x.bye.served = true, x.lastPeer
	x.urgeLocked(goodbyeFrame(x.lastPeer, why))
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
