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

// hear takes note of a goodbye of the peer's. An error means that the peer has
// contradicted itself.
func (p *parting) hear(last uint32, why *status.Status) error {
	if p.heard && last > p.last {
		return fmt.Errorf("a goodbye up to id %d after one up to id %d", last, p.last)
	}
	p.heard, p.last = true, last
	p.why = &notExecutedError{why}
	return nil
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
	if err := x.bye.hear(last, parseStatus(why, codes.Unavailable)); err != nil {
		x.failConnLocked(&connError{err.Error()})
		return
	}
	x.c.parted = true
	for _, s := range x.c.streams {
		if s.call == nil && s.isActive() && s.id > last {
			x.c.failLocked(s, x.bye.why)
		}
	}
}
