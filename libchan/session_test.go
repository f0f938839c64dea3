// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// L6: what was sent before Close is received, and then io.EOF.
func TestTopLevelChannel(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		for _, way := range [][2]*Session{{near, far}, {far, near}} {
			s, r := top(t, way[0], way[1])
			for i := range 100 {
				must(t, s.Send(i))
			}
			must(t, s.Close())
			for i := range 100 {
				receives(t, r, i)
			}
			if err := r.Receive(new(int)); err != io.EOF {
				t.Errorf("L6: the end is %v, want io.EOF", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("L6: a second Close: %v, want nil", err)
			}
			if err := s.Send(1); !errors.Is(err, ErrClosed) {
				t.Errorf("L6: Send after Close: %v, want ErrClosed", err)
			}
		}
		synctest.Wait()
		if n := tables(near, far); n != 0 {
			t.Errorf("%d entries in tables are left", n)
		}
	})
}

type withReply struct {
	N   int
	Ret Sender
}

type withFeed struct {
	In Receiver
}

// L2: a Sender in a message arrives as one that works.
func TestReplyChannel(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		answers, ret := Pipe()
		must(t, s.Send(withReply{7, ret}))
		var m withReply
		must(t, r.Receive(&m))
		must(t, m.Ret.Send(m.N*6))
		must(t, m.Ret.Close())
		receives(t, answers, 42)
		if err := answers.Receive(new(int)); err != io.EOF {
			t.Errorf("L2: the end is %v, want io.EOF", err)
		}
		if err := ret.Send(1); err != ErrGivenAway {
			t.Errorf("L2: Send by what was given away: %v", err)
		}
	})
}

// L2: the same of a Receiver, whatever is sent first.
func TestFeedChannel(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		s, r := top(t, near, far)
		in, feed := Pipe()
		must(t, feed.Send("before"))
		must(t, s.Send(withFeed{in}))
		must(t, feed.Send("announced"))
		var m withFeed
		must(t, r.Receive(&m))
		must(t, feed.Send("taken"))
		receives(t, m.In, "before")
		must(t, feed.Send("attached"))
		must(t, feed.Close())
		receives(t, m.In, "announced")
		receives(t, m.In, "taken")
		receives(t, m.In, "attached")
		if err := m.In.Receive(new(string)); err != io.EOF {
			t.Errorf("L2: the end is %v, want io.EOF", err)
		}
		synctest.Wait()
		if n := tables(near, far); n != 2 { // the top-level channel at both sides
			t.Errorf("%d entries in tables, want 2", n)
		}
	})
}
