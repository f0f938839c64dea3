// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import "context"

// A connection leaves before it ends: once this end drains it, the peer has said
// goodbye, or it is clear that it cannot last. Calls under way may still finish.

// A listeners is who is told that a connection leaves, or has ended. Few connections have
// any.
type listeners struct {
	leaves []func()      // to be called once it leaves
	left   chan struct{} // closed then; nil if nobody has asked
	ends   []func(error) // to be called when it has ended, with the cause
}

func (c *conn) listenersLocked() *listeners {
	if c.heeds == nil {
		c.heeds = new(listeners)
	}
	return c.heeds
}

// fewIDs is the id from which on a connection leaves: a million are left then for what is
// under way, and may need streams of its own to come to an end.
const fewIDs = 1<<32 - 1<<21

// isLeavingLocked tells whether the connection leaves, or has ended.
func (c *conn) isLeavingLocked() bool {
	return c.draining || c.parted || c.cause != nil || c.lost != nil || c.lastID >= fewIDs
}

// onLeave has f called once, without locks, when the connection leaves: at once if it
// does.
func (c *conn) onLeave(f func()) {
	c.mu.Lock()
	l := c.listenersLocked()
	l.leaves = append(l.leaves, f)
	c.unlock()
}

// leaving returns a channel that is closed when the connection leaves.
func (c *conn) leaving() <-chan struct{} {
	c.mu.Lock()
	defer c.unlock()
	l := c.listenersLocked()
	if l.left == nil {
		left := make(chan struct{})
		l.left = left
		l.leaves = append(l.leaves, func() { close(left) })
	}
	return l.left
}

// closedChan is the channel of what has ended from the start.
func closedChan() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Draining returns a channel that is closed when the connection is about to end: the
// server has said goodbye, which it does in extended mode; [Client.Shutdown] has begun;
// ids run out, of which a million are left; or the connection has ended. Calls under way may
// still finish. Later calls fail, so it is time for another connection.
//
// A client made by [Dial] finds that by itself. Its channel is closed when its own
// Shutdown or Close begins.
func (c *Client) Draining() <-chan struct{} {
	if c.via == nil {
		return closedChan()
	}
	return c.via.draining()
}

// DrainingFromContext returns a channel that is closed when the connection that a handler
// was called on is about to end: [Server.Shutdown] has begun; the client has said goodbye,
// which it does in extended mode; or the connection has ended. Shutdown waits for
// handlers, so one that would go on for ever returns then.
//
// It works as well in the context of [WithConnectionHook]. For any other context it
// returns nil, a channel from which nothing ever comes.
func DrainingFromContext(ctx context.Context) <-chan struct{} {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil
	}
	return c.leaving()
}
