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

// A notExecutedError is the error of a call that the peer has certainly not begun.
type notExecutedError struct{ why *status.Status }

func (e *notExecutedError) Error() string { return ErrNotExecuted.Error() + ": " + e.why.Message() }

// GRPCStatus makes the error a status of google.golang.org/grpc.
func (e *notExecutedError) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, e.Error())
}

func (e *notExecutedError) Unwrap() error { return ErrNotExecuted }

// sayGoodbyeLocked tells the peer which of its calls are served, once that is known.
func (c *conn) sayGoodbyeLocked() {
	if c.draining && c.settled {
		c.partLocked(status.New(codes.Unavailable, "the peer is shutting down"))
	}
}

// partLocked tells the peer which of its calls are served, and why not more.
func (c *conn) partLocked(why *status.Status) {
	x := c.ext
	if x == nil || x.bye.said || c.cause != nil {
		return
	}
	x.bye.said, x.bye.served = true, x.lastPeer
	c.urgeLocked(goodbyeFrame(x.lastPeer, why))
}

// heardGoodbyeLocked ends the calls that the peer does not serve. It reports whether
// the peer had not said so before.
func (c *conn) heardGoodbyeLocked(f *frame) (first bool) {
	bye := &c.ext.bye
	last, why, _ := wire.ParseGoodbye(f.data) // checkControl has looked at its length
	if bye.heard && last > bye.last {
		c.failConnLocked(&connError{fmt.Sprintf("a goodbye up to id %d after one up to id %d", last, bye.last)})
		return false
	}
	first = !bye.heard
	bye.heard, bye.last = true, last
	bye.why = &notExecutedError{parseStatus(why, codes.Unavailable)}
	for _, s := range c.streams {
		if s.call == nil && s.isActive() && s.id > last {
			c.failLocked(s, bye.why)
		}
	}
	return first
}
