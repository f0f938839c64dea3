// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"testing"
	"testing/synctest"
)

// beyond returns a channel and its side beyond a session.
func beyond(c *channel, s side) *far {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sides[s].far
}

// A peer may take a message, and say so, before whoever sends it is back from that. What it
// says beyond that is of no message.
func TestReportOutrunsSend(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		must(t, s.Send(1))
		receives(t, r, 1)
		synctest.Wait()
		c := s.(*sender).c
		f := beyond(c, receiving)
		c.mu.Lock()
		c.sending = true // of the second message
		c.mu.Unlock()
		c.reported(f, wireReport{id: f.id, taken: 2})
		c.mu.Lock()
		c.sending = false
		stopped := c.stopped
		c.mu.Unlock()
		if stopped != nil {
			t.Fatalf("a report of what is being sent ends the channel: %v", stopped)
		}
		c.reported(f, wireReport{id: f.id, taken: 3})
		if err := s.Send(2); err == nil {
			t.Error("a report of more than was sent does not end the channel")
		}
	})
}

// Who receives ends of channels tells that of many messages at once, not of each.
func TestReportsOfEndsAreFew(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		for range maxUnclaimed {
			r, s := pipe(-1)
			_ = carry(t, out, in, withEnd{R: r})
			must(t, s.Close())
		}
		synctest.Wait()
		c := in.(*receiver).c
		f := beyond(c, sending)
		c.mu.Lock()
		defer c.mu.Unlock()
		if weight := c.refs; weight >= maxUnclaimed/4 || f.told == 0 || f.told == c.taken && weight > 0 {
			t.Errorf("ends of weight %d are not reported, and %d of %d messages are", weight, f.told, c.taken)
		}
	})
}

// A last message that could not be sent has not closed its channel.
func TestLastNotSent(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		text := string(make([]byte, 1000))
		for s.SendContext(tried, text) == nil {
		}
		if err := Of[string](s).sendLast(tried, text); err == nil {
			t.Fatal("there is no room, and a message is sent")
		}
		for range s.Sent() {
			receives(t, r, text)
		}
		must(t, s.Send("one more"))
		receives(t, r, "one more")
	})
}
