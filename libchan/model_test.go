// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc/internal/testkit"
)

// A world is places that are joined by sessions, and channels whose ends are at these. It does
// random things, and knows of each channel what may come of it: it is the in-memory model.
type world struct {
	t        *testing.T
	random   *rand.Rand
	places   int
	sessions []*road
	channels []*modelled
	log      []string
}

// A road is a session between two places.
type road struct {
	places [2]int
	sides  [2]*Session
	out    [2]ContextSender // the channel over which ends are carried from a side
	in     [2]ContextReceiver
	ended  bool
}

// A modelled is a channel with what the model knows of it.
type modelled struct {
	id       int
	capacity int
	sender   ContextSender // nil once it is lost
	receiver ContextReceiver
	at       [2]int  // the places of the two ends
	roads    []*road // that it leads, or has led, through
	sent     []int   // what was, and has not been received
	next     int
	closed   bool
	closing  error // what it was closed with
	stopped  error
	broken   bool // one of its roads has ended: it may end with an error, and lose what is on its way
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 2)), places: 4}
	for i := range 5 { // a ring, and one across
		w.join(i%4, (i+1+i/4)%4)
	}
	return w
}

// join begins a session between two places.
func (w *world) join(a, b int) {
	near, far := sessions(w.t)
	r := &road{places: [2]int{a, b}, sides: [2]*Session{near, far}}
	r.out[0], r.in[1] = top(w.t, near, far)
	r.out[1], r.in[0] = top(w.t, far, near)
	w.sessions = append(w.sessions, r)
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// fail tells what was done, and what is wrong.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log[max(0, len(w.log)-200):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// open makes a channel whose both ends are at a place.
func (w *world) open() {
	c := &modelled{id: len(w.channels), capacity: w.random.IntN(4) - 1}
	if c.capacity == 0 { // a rendezvous would wait for the model's own Receive
		c.capacity = 2
	}
	place := w.random.IntN(w.places)
	c.at = [2]int{place, place}
	c.receiver, c.sender = pipe2(c.capacity)
	w.channels = append(w.channels, c)
	w.note("channel %d of capacity %d is made at %d", c.id, c.capacity, place)
}

func pipe2(capacity int) (ContextReceiver, ContextSender) { return pipe(capacity) }

// pick returns any channel, or nil.
func (w *world) pick() *modelled {
	if len(w.channels) == 0 {
		return nil
	}
	return w.channels[w.random.IntN(len(w.channels))]
}

// brief is a context of a second of the bubble's time, by which all that can happen has.
func brief() (context.Context, func()) { return context.WithTimeout(ctx, time.Second) }

// pass sends an end of a channel to another place, by itself or nested in a channel of its own.
func (w *world) pass(c *modelled) {
	s := side(w.random.IntN(2))
	var roads []*road
	for _, r := range w.sessions {
		if !r.ended && (r.places[0] == c.at[s] || r.places[1] == c.at[s]) {
			roads = append(roads, r)
		}
	}
	if len(roads) == 0 || s == sending && c.sender == nil || s == receiving && c.receiver == nil {
		return
	}
	r := roads[w.random.IntN(len(roads))]
	from := 0
	if r.places[0] != c.at[s] {
		from = 1
	}
	out, in := r.out[from], r.in[1-from]
	if w.random.IntN(3) == 0 {
		inner, feed := pipe(-1)
		must(w.t, out.Send(withEnd{R: inner}))
		var got withEnd
		must(w.t, in.Receive(&got))
		out, in = feed, got.R.(ContextReceiver)
		defer func() {
			must(w.t, feed.Close())
			if err := in.Receive(new(int)); err != io.EOF {
				w.fail("the channel that has carried ends with %v", err)
			}
		}()
	}
	m := withEnd{}
	if s == sending {
		m.S = c.sender
	} else {
		m.R = c.receiver
	}
	switch err := out.Send(m); {
	case s == sending && c.closed && errors.Is(err, ErrClosed):
		return
	case err != nil || s == sending && c.closed:
		w.fail("channel %d: its end cannot be passed on: %v", c.id, err)
	}
	var got withEnd
	if err := in.Receive(&got); err != nil {
		w.fail("channel %d: its end does not come: %v", c.id, err)
	}
	if s == sending {
		c.sender = got.S.(ContextSender)
	} else {
		c.receiver = got.R.(ContextReceiver)
	}
	w.note("the %s of %d goes from %d to %d", [...]string{"sender", "receiver"}[s], c.id, c.at[s], r.places[1-from])
	c.at[s] = r.places[1-from]
	c.roads = append(c.roads, r)
}

// send sends the next number.
func (w *world) send(c *modelled) {
	short, cancel := brief()
	defer cancel()
	err := c.sender.SendContext(short, c.next)
	w.note("%d is sent on %d: %v", c.next, c.id, err)
	switch {
	case err == nil:
		if c.closed || c.stopped != nil && len(c.roads) == 0 {
			w.fail("channel %d: Send after its end succeeds", c.id)
		}
		c.sent = append(c.sent, c.next)
		c.next++
	case c.closed && errors.Is(err, ErrClosed), c.broken, c.stopped != nil:
	case errors.Is(err, context.DeadlineExceeded):
		if c.capacity < 0 || len(c.sent) < c.capacity {
			w.fail("channel %d: Send waits with %d on their way", c.id, len(c.sent))
		}
	default:
		w.fail("channel %d: Send: %v", c.id, err)
	}
}

// receive receives what is next.
func (w *world) receive(c *modelled) {
	short, cancel := brief()
	defer cancel()
	got := -1
	err := c.receiver.ReceiveContext(short, &got)
	w.note("%d is received from %d: %v", got, c.id, err)
	switch {
	case err == nil:
		for c.broken && len(c.sent) > 0 && c.sent[0] != got { // what was lost
			w.fail("channel %d: received %d, and %v are before it", c.id, got, c.sent)
		}
		if len(c.sent) == 0 || c.sent[0] != got {
			w.fail("channel %d: received %d, want %v", c.id, got, c.sent)
		}
		c.sent = c.sent[1:]
	case c.broken || c.stopped != nil:
	case errors.Is(err, context.DeadlineExceeded):
		if len(c.sent) > 0 || c.closed {
			w.fail("channel %d: nothing comes, and %v are sent, closed %v", c.id, c.sent, c.closed)
		}
	case c.closed && len(c.sent) == 0 && (c.closing == nil && err == io.EOF || c.closing != nil && err.Error() == c.closing.Error()):
	default:
		w.fail("channel %d: Receive: %v with %v on their way, closed %v", c.id, err, c.sent, c.closed)
	}
}

// end ends a channel, from either end.
func (w *world) end(c *modelled) {
	switch w.random.IntN(3) {
	case 0:
		if !c.closed {
			c.closed = true
			must(w.t, c.sender.Close())
			w.note("%d is closed", c.id)
		}
	case 1:
		if !c.closed {
			c.closed, c.closing = true, fmt.Errorf("the end of %d", c.id)
			must(w.t, c.sender.CloseWithError(c.closing))
			w.note("%d is closed with an error", c.id)
		}
	case 2:
		if c.stopped == nil {
			c.stopped = fmt.Errorf("%d takes no more", c.id)
			c.receiver.Cancel(c.stopped)
			w.note("%d is cancelled", c.id)
		}
	}
}

// kill ends a session, with all channels that lead through it.
func (w *world) kill() {
	r := w.sessions[w.random.IntN(len(w.sessions))]
	if r.ended {
		return
	}
	r.ended = true
	switch w.random.IntN(2) {
	case 0:
		r.sides[w.random.IntN(2)].Close()
	case 1:
		r.sides[0].owned.Close()
	}
	w.note("the session of %v ends", r.places)
	for _, c := range w.channels {
		for _, over := range c.roads {
			c.broken = c.broken || over == r
		}
	}
	w.join(r.places[0], r.places[1])
}

// step does something.
func (w *world) step() {
	defer synctest.Wait()
	c := w.pick()
	switch n := w.random.IntN(100); {
	case n < 8 || c == nil:
		w.open()
	case n < 30:
		if !c.broken {
			w.pass(c)
		}
	case n < 60:
		w.send(c)
	case n < 92:
		w.receive(c)
	case n < 98:
		w.end(c)
	case n < 99:
		w.kill()
	}
}

// finish ends all, and expects that nothing is left.
func (w *world) finish() {
	for _, c := range w.channels {
		if !c.closed {
			c.closed = true
			if err := c.sender.Close(); err != nil {
				w.fail("channel %d: Close: %v", c.id, err)
			}
		}
		for range len(c.sent) + 2 {
			w.receive(c)
		}
		if len(c.sent) > 0 && !c.broken && c.stopped == nil {
			w.fail("channel %d: %v did not come", c.id, c.sent)
		}
	}
	synctest.Wait()
	for _, r := range w.sessions {
		for i, s := range r.sides {
			if n := tables(s); !r.ended && n != 2 { // the carriers
				w.fail("session %v: %d channels are left at side %d, want 2, its cause is %v:%s", r.places, n, i, s.Cause(), describe(s))
			}
		}
	}
	for _, r := range w.sessions {
		r.sides[0].Close()
		r.sides[1].Close()
	}
	for _, r := range w.sessions {
		for _, s := range r.sides {
			wantNothingLeft(w.t, s)
		}
	}
}

// describe tells what a session has in its table.
func describe(s *Session) (text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, f := range s.channels {
		c := f.c
		c.mu.Lock()
		text += fmt.Sprintf("\n%d: side %d, sides at %d and %d, %d queued, sent %d, taken %d, closed %v (%v), stopped %v, lost %v, open %d, final %v, sending %v, reading %v, pumping %v",
			id, f.side, c.sides[0].place, c.sides[1].place, len(c.queue), c.sent, c.taken, c.closed, c.end, c.stopped, c.lost, c.open, f.isFinal, c.sending, c.reading, c.pumping)
		c.mu.Unlock()
	}
	return text
}

// L14: random programs that open, nest, pass on, close, cancel and kill do as the model.
func TestModel(t *testing.T) {
	for seed := range uint64(60 * testkit.Times(t)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			within(t, func(t *testing.T) {
				w := newWorld(t, seed)
				for range 150 {
					w.step()
				}
				w.finish()
			})
		})
	}
}
