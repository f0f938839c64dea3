// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"

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
	p.why = &notExecutedError{why}
	return max(used, last), nil
}

// settledLocked implements [mode]: it tells the peer which of its calls are served.
func (x *extended) settledLocked() {
	if !x.bye.said {
		x.partLocked(status.New(codes.Unavailable, "the peer is shutting down"))
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
	st := parseStatus(why, codes.Unavailable)
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
