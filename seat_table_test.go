// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	seatNames   = [...]string{"reader", "stirred", "waiter", "relieved", "vacant"}
	seatEvents  = [...]string{"wait", "needed", "givenUp", "leave", "returned", "woken", "handOver", "quiet"}
	seatEffects = [...]string{"stays", "taken", "left", "filled", "roused", "calmed"}
)

// TestSeatTable holds what each event makes of each state of the seat.
func TestSeatTable(t *testing.T) {
	const table = `
		          reader       stirred        waiter           relieved         vacant
		wait      -            -              -                -                waiter:taken
		needed    -            -              relieved:roused  -                reader:filled
		givenUp   -            -              relieved:roused  -                -
		leave     vacant:left  -              vacant:left      -                -
		returned  -            -              -                -                reader:taken
		woken     -            reader:calmed  -                waiter:calmed    -
		handOver  -            -              reader:filled    stirred:filled   -
		quiet     stirred:roused  -           -                -                -`
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) != len(seatEvents)+1 {
		t.Fatalf("the table has %d rows, want one for each event", len(rows)-1)
	}
	for i, row := range rows[1:] {
		fields := strings.Fields(row)
		if fields[0] != seatEvents[i] || len(fields) != len(seatNames)+1 {
			t.Fatalf("the row of %s has %d columns and is called %s", seatEvents[i], len(fields)-1, fields[0])
		}
		for st, want := range fields[1:] {
			if want == "-" {
				want = seatNames[st] + ":stays"
			}
			to, effect := seat(st).next(seatEvent(i))
			if got := seatNames[to] + ":" + seatEffects[effect]; got != want {
				t.Errorf("%s in %s is %s, want %s", seatEvents[i], seatNames[st], got, want)
			}
		}
	}
}

// A seatModel is a connection of which only who reads is known: what the seat says of
// it, and how it is.
type seatModel struct {
	seat     seat
	reader   bool // a goroutine reads
	waiter   bool // a caller or a receiver does
	handler  bool // one runs, which has been given the reader's place and knows of no other
	receiver bool // one has a message, and the seat has been vacant for it since
	deadline bool // is set
	watch    bool // runs
}

// steps are all that may happen next, at a client or a server, as its files do it.
func (m seatModel) steps(t *testing.T, server bool) (all []seatModel) {
	step := func(ev seatEvent, apply func(n *seatModel, effect seatEffect)) {
		n := m
		var effect seatEffect
		n.seat, effect = m.seat.next(ev)
		switch effect {
		case seatLeft:
			n.watch = true
		case seatTaken:
			n.receiver = false
		case seatFilled:
			if ev != seatHandOver && n.waiter || n.reader {
				t.Errorf("%s in %+v has a second goroutine read", seatEvents[ev], m)
			}
			n.reader, n.handler, n.receiver = true, false, false // the turn is over
		case seatRoused:
			if n.waiter == n.reader || n.reader && ev != seatQuiet {
				t.Errorf("%s in %+v wakes who does not read", seatEvents[ev], m)
			}
			n.deadline = true
		case seatCalmed:
			n.deadline = false
		}
		if apply != nil {
			apply(&n, effect)
		}
		all = append(all, n)
	}
	step(seatNeeded, nil)
	if m.watch {
		step(seatNeeded, func(n *seatModel, _ seatEffect) { n.watch = false }) // it finds that nothing has changed
		if _, effect := m.seat.next(seatNeeded); effect == seatStays {
			step(seatQuiet, func(n *seatModel, _ seatEffect) { n.watch = false })
		}
	}
	if (m.reader || m.waiter) && m.deadline {
		step(seatWoken, nil)
	}
	step(seatGivenUp, nil) // may come late, from a call that has ended
	if m.reader || m.waiter {
		step(seatLeave, func(n *seatModel, effect seatEffect) { // a message has come
			if effect == seatLeft {
				n.reader, n.waiter, n.receiver = false, false, true
			}
		})
	}
	if m.receiver {
		step(seatWait, func(n *seatModel, effect seatEffect) { n.waiter = effect == seatTaken })
	}
	if m.waiter {
		step(seatHandOver, func(n *seatModel, effect seatEffect) {
			if n.waiter = false; effect != seatFilled {
				t.Errorf("one who waits no more leaves the seat in %+v, and nobody reads", m)
			}
		})
	}
	if server {
		if m.reader {
			step(seatLeave, func(n *seatModel, effect seatEffect) {
				if effect == seatLeft {
					n.reader, n.handler = false, true
				}
			})
		}
		if m.handler {
			step(seatReturned, func(n *seatModel, effect seatEffect) {
				n.handler, n.reader = false, effect == seatTaken
			})
		}
		return all
	}
	step(seatWait, func(n *seatModel, effect seatEffect) { n.waiter = n.waiter || effect == seatTaken }) // a call
	if m.reader || m.waiter {
		step(seatLeave, func(n *seatModel, effect seatEffect) { // an answer has come
			if effect == seatLeft {
				n.reader, n.waiter = false, false
			}
		})
	}
	return all
}

// check requires what must hold at all times.
func (m seatModel) check(t *testing.T, server bool) {
	t.Helper()
	reads := fmt.Sprint(m.reader, m.waiter)
	want := [...]string{"true false", "true false", "false true", "false true", "false false"}[m.seat]
	switch {
	case reads != want:
		t.Errorf("%+v: a goroutine reads, one who waits reads: %s, want %s", m, reads, want)
	case m.deadline != (m.seat == seatStirred || m.seat == seatRelieved):
		t.Errorf("%+v: the seat does not say whether the deadline is set", m)
	case m.seat == seatVacant && !m.watch:
		t.Errorf("%+v: nobody reads, and nothing would change that", m)
	case server && m.seat == seatVacant && !m.handler && !m.receiver:
		t.Errorf("%+v: nobody reads, and no handler runs", m)
	case m.receiver && m.handler:
		t.Errorf("%+v: the seat is vacant for two", m)
	}
}

// TestSeatModel goes through all that may happen at either side, in any order: one at
// a time reads, and nobody does only while the watch runs.
func TestSeatModel(t *testing.T) {
	for _, server := range []bool{false, true} {
		start := seatModel{reader: true}
		seen := map[seatModel]bool{start: true}
		reached := map[seat]bool{}
		for next := []seatModel{start}; len(next) > 0 && !t.Failed(); next = next[1:] {
			m := next[0]
			m.check(t, server)
			reached[m.seat] = true
			for _, n := range m.steps(t, server) {
				if !seen[n] {
					seen[n] = true
					next = append(next, n)
				}
			}
		}
		if len(reached) != len(seatNames) {
			t.Errorf("the server %t: %d states of the seat are reached, want %d", server, len(reached), len(seatNames))
		}
	}
}

// TestPace holds what a server learns of a method from how long its runs take.
func TestPace(t *testing.T) {
	want := func(p *pace, when string, alone, among bool) {
		t.Helper()
		if p.mayRunHere(quickAlone) != alone || p.mayRunHere(quickAmong) != among {
			t.Errorf("%s: it may run in the reader's place alone: %t, among others: %t, want %t, %t", when, !alone, !among, alone, among)
		}
	}
	quick := func(p *pace, n int) {
		for range n {
			p.learn(time.Microsecond)
		}
	}
	var p pace
	want(&p, "a method that never ran", false, false)
	quick(&p, 1)
	want(&p, "a quick method", true, true)
	p.learn(quickAlone)
	want(&p, "a method that was not so quick once", true, false)
	p.learn(stall)
	want(&p, "a method that took long somewhere else", false, false)
	quick(&p, 100)
	want(&p, "the same, 100 quick runs later", true, true)

	p.learn(stall)
	p.notSoon()
	quick(&p, atonement-1)
	want(&p, "a method that took long in the reader's place", false, false)
	p.learn(stall)
	quick(&p, atonement-1)
	want(&p, "the same, which then took long again", false, false)
	quick(&p, 1)
	want(&p, "the same, after as many quick runs as are asked for", true, true)

	p.neverHere()
	p.notSoon()
	p.learn(stall)
	quick(&p, 3*atonement)
	want(&p, "a method for which the reader was seen to wait", false, false)
}
