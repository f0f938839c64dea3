// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faultconn is a net.Conn for tests that splits, delays, loses, fails
// or blocks what is read from and written to another one, by a schedule: so
// the same happens at the same byte each time. It is made of what
// testing/synctest knows to block.
package faultconn

import (
	"net"
	"os"
	"sync"
	"time"
)

// A Step is what happens in one direction once At bytes have passed. Of the
// functions that make one, all but Split act once.
type Step struct {
	At       int
	act      func(s *side) error // s.mu is held
	withData bool                // a Read that reaches At returns act's error along with the data
}

// Split has no Read or Write of the inner conn carry more than n bytes from
// here on; 0 means any number.
func Split(at, n int) Step {
	return Step{At: at, act: func(s *side) error {
		s.split = n
		return nil
	}}
}

// Delay lets nothing pass for d.
func Delay(at int, d time.Duration) Step {
	return Step{At: at, act: func(s *side) error {
		end := time.Now().Add(d)
		defer time.AfterFunc(d, s.wake).Stop()
		return s.waitLocked(func() bool { return !time.Now().Before(end) })
	}}
}

// Fail fails the Read or Write that is under way, and all later ones, with err.
func Fail(at int, err error) Step {
	return Step{At: at, act: func(s *side) error {
		s.failed = err
		return err
	}}
}

// FailWithData is Fail, except that a Read which returns the last bytes before
// it returns err along with them.
func FailWithData(at int, err error) Step {
	step := Fail(at, err)
	step.withData = true
	return step
}

// Block lets nothing pass until Release.
func Block(at int) Step {
	return Step{At: at, act: func(s *side) error { return s.waitLocked(func() bool { return s.released }) }}
}

// Lose has all that follows disappear: a Write succeeds, a Read waits.
func Lose(at int) Step {
	return Step{At: at, act: func(s *side) error {
		s.losing = true
		return nil
	}}
}

// Options tell how a Conn behaves beside its schedules.
type Options struct {
	// NoDeadlines has deadlines do nothing.
	NoDeadlines bool

	// CloseLeavesBlocked has Close not end a Read or Write that a step holds
	// up, as the connections of some multiplexers do.
	CloseLeavesBlocked bool
}

// A Conn passes on what the inner conn reads and writes, by schedule.
type Conn struct {
	inner         net.Conn
	options       Options
	reads, writes *side
}

// New returns a Conn around inner, which it owns. The steps of a schedule are
// in the order of their positions.
func New(inner net.Conn, reads, writes []Step, options Options) *Conn {
	return &Conn{inner, options, newSide(reads, options), newSide(writes, options)}
}

// A side is one direction.
type side struct {
	options Options

	mu      sync.Mutex
	changed sync.Cond

	// Guarded by mu.
	steps    []Step
	calls    int
	passed   int
	split    int
	losing   bool
	failed   error
	closed   bool
	released bool
	deadline time.Time
	alarm    *time.Timer
}

func newSide(steps []Step, options Options) *side {
	s := &side{steps: steps, options: options}
	s.changed.L = &s.mu
	return s
}

func (s *side) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// waitLocked waits until done, or an end that the options allow.
func (s *side) waitLocked(done func() bool) error {
	for !done() {
		switch {
		case s.released:
			return nil
		case s.closed && !s.options.CloseLeavesBlocked:
			return net.ErrClosed
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return os.ErrDeadlineExceeded
		}
		s.changed.Wait()
	}
	return nil
}

// next carries out the steps that are due and returns how many of n bytes may
// pass before the one after them.
func (s *side) next(n int) (int, error) {
	for len(s.steps) > 0 && s.steps[0].At <= s.passed && s.failed == nil {
		act := s.steps[0].act
		s.steps = s.steps[1:]
		if err := act(s); err != nil {
			return 0, err
		}
	}
	if s.failed != nil {
		return 0, s.failed
	}
	if s.split > 0 {
		n = min(n, s.split)
	}
	if len(s.steps) > 0 {
		n = min(n, s.steps[0].At-s.passed)
	}
	return n, nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	s := c.reads
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	n, err := s.next(len(p))
	if err != nil {
		return 0, err
	}
	if s.losing {
		return 0, s.lose()
	}
	s.mu.Unlock()
	n, err = c.inner.Read(p[:n])
	s.mu.Lock()
	s.passed += n
	if err == nil && len(s.steps) > 0 && s.steps[0].withData && s.steps[0].At <= s.passed {
		_, err = s.next(0)
	}
	return n, err
}

// lose is a Read of what is lost: it waits for the end.
func (s *side) lose() error {
	err := s.waitLocked(func() bool { return s.closed || s.released })
	if err == nil {
		err = net.ErrClosed
	}
	return err
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	s := c.writes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	written := 0
	for written < len(p) {
		n, err := s.next(len(p) - written)
		if err != nil {
			return written, err
		}
		if !s.losing {
			s.mu.Unlock()
			n, err = c.inner.Write(p[written : written+n])
			s.mu.Lock()
		}
		written += n
		s.passed += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	for _, s := range []*side{c.reads, c.writes} {
		s.mu.Lock()
		s.closed = true
		s.changed.Broadcast()
		s.mu.Unlock()
	}
	return c.inner.Close()
}

// Release ends all waiting, even what Close left.
func (c *Conn) Release() {
	for _, s := range []*side{c.reads, c.writes} {
		s.mu.Lock()
		s.released = true
		s.changed.Broadcast()
		s.mu.Unlock()
	}
}

// Passed returns how many bytes were read and written.
func (c *Conn) Passed() (read, written int) { return c.reads.count(), c.writes.count() }

func (s *side) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passed
}

// Reads returns how many times Read was called.
func (c *Conn) Reads() int {
	c.reads.mu.Lock()
	defer c.reads.mu.Unlock()
	return c.reads.calls
}

// Left returns how many steps of each schedule have not begun.
func (c *Conn) Left() (reads, writes int) { return c.reads.left(), c.writes.left() }

func (s *side) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.steps)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.options.NoDeadlines {
		return nil
	}
	c.reads.setDeadline(t)
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.options.NoDeadlines {
		return nil
	}
	c.writes.setDeadline(t)
	return c.inner.SetWriteDeadline(t)
}

func (s *side) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.alarm != nil {
		s.alarm.Stop()
	}
	if !t.IsZero() {
		s.alarm = time.AfterFunc(time.Until(t), s.wake)
	}
	s.changed.Broadcast()
}
