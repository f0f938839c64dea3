// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/wire"
)

// CallCounts tells how the calls and streams of a connection have ended, in one direction.
// Those that have not are no part of it.
type CallCounts struct {
	OK       uint64 // with success
	Failed   uint64 // with any other status or error, also the loss of the connection
	Canceled uint64 // the caller gave up
	Deadline uint64 // the deadline passed
	Refused  uint64 // no handler has begun: a cap, or the connection takes no more calls
}

// A Volume is how many messages there were, and how many bytes of data the frames had
// that carried them.
type Volume struct {
	Messages int
	Bytes    int
}

// add counts a frame with n bytes of data, or with a sign of -1 takes it back.
func (v *Volume) add(flags uint8, n, sign int) {
	if flags&flagNoData == 0 {
		v.Messages += sign
	}
	v.Bytes += sign * n
}

// countsLocked returns where it is counted how the stream ends.
func (c *conn) countsLocked(s *stream) *CallCounts {
	if s.call != nil {
		return c.servedLocked()
	}
	if s.id == 1 && c.role == roleClient && c.cfg.extends != nil { // Hello is no call of anybody's
		return new(CallCounts)
	}
	return c.madeLocked()
}

// madeLocked returns the counts of the calls that this end made.
func (c *conn) madeLocked() *CallCounts {
	if c.made == nil {
		c.made = new(CallCounts)
	}
	return c.made
}

// orNone returns the counts, of which nil has none.
func (n *CallCounts) orNone() CallCounts {
	if n == nil {
		return CallCounts{}
	}
	return *n
}

// servedLocked returns the counts of the calls that the peer made.
func (c *conn) servedLocked() *CallCounts {
	if c.served == nil {
		c.served = new(CallCounts)
	}
	return c.served
}

// endLocked takes a stream of ours out of the table that its terminal frame f ends, and
// counts it. An answer that is so large that it is in pieces is success: no status is.
func (c *conn) endLocked(s *stream, f *frame) {
	n := c.countsLocked(s)
	if f.extras != nil && f.extras.pieces() > 0 {
		n.OK++
	} else {
		s.about.late = n.addAnswer(f.header.Type, f.data) == codes.DeadlineExceeded
	}
	c.removeLocked(s)
}

// countEndLocked counts a stream that the end of the connection ends.
func (c *conn) countEndLocked(s *stream) {
	n := c.countsLocked(s)
	switch {
	case !s.isActive(): // it was counted before
	case s.call != nil:
		n.Canceled++
	case s.opening != nil:
		n.Refused++
	default:
		n.Failed++
	}
}

// addCode counts a call that has ended with a status.
func (n *CallCounts) addCode(code codes.Code) {
	switch code {
	case codes.OK:
		n.OK++
	case codes.Canceled:
		n.Canceled++
	case codes.DeadlineExceeded:
		n.Deadline++
	default:
		n.Failed++
	}
}

// recount has a call that was counted as one that has ended with code before be one that
// has ended with code after.
func (n *CallCounts) recount(before, after codes.Code) {
	var one CallCounts
	one.addCode(before)
	n.OK -= one.OK
	n.Failed -= one.Failed
	n.Canceled -= one.Canceled
	n.Deadline -= one.Deadline
	n.addCode(after)
}

// addError counts a call that this end has given up.
func (n *CallCounts) addError(err error) {
	switch {
	case err == context.Canceled:
		n.Canceled++
	case err == context.DeadlineExceeded:
		n.Deadline++
	case err == ErrClosed || errors.Is(err, ErrNotExecuted): // nothing of it has left
		n.Refused++
	default:
		n.addCode(status.Code(err))
	}
}

// addAnswer counts a call that has ended with a terminal frame, and returns its code.
func (n *CallCounts) addAnswer(typ messageType, data []byte) codes.Code {
	if typ != messageTypeResponse {
		n.OK++
		return codes.OK
	}
	code := codes.Code(wire.ResponseCode(data))
	n.addCode(code)
	return code
}
