// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"math/rand/v2"
	"testing"
)

// TestSendCredit holds what comes of each step, and that the bounds are refused.
func TestSendCredit(t *testing.T) {
	c := newSendCredit(1000)
	step := func(have int) {
		t.Helper()
		if c.have != int64(have) || !c.fits(have) || c.fits(have+1) {
			t.Errorf("B48: the credit is %d, and %d fits %v; want %d", c.have, have, c.fits(have), have)
		}
	}
	step(1000)
	c.spend(999)
	step(1)
	c.refund(400)
	step(401)
	if err := c.grant(599); err != nil {
		t.Error(err)
	}
	step(1000)
	for _, n := range []uint32{0, maxCredit - 999, 1<<32 - 1} {
		if err := c.grant(n); err == nil {
			t.Errorf("B48: a grant of %d is taken where there are 1000", n)
		}
	}
	if !c.isSure(500) || c.isSure(501) {
		t.Error("B48: half of what there was at first comes unasked, and no more")
	}
	if err := c.grant(maxCredit - 1000); err != nil {
		t.Error(err)
	}
	if back := c.takeBack(200); back != maxCredit-1200 || c.have != 1200 || c.takeBack(200) != 0 {
		t.Errorf("B48: %d come back, %d are left", back, c.have)
	}
	if wide := newSendCredit(1 << 62); wide.have != maxCredit {
		t.Errorf("B48: a window of 1<<62 is a credit of %d", wide.have)
	}
}

// TestShareOf holds what a stream begins with.
func TestShareOf(t *testing.T) {
	for _, test := range []struct {
		budget int64
		window int
		want   int64
	}{
		{24 << 20, 256 << 10, 6 << 10}, {1 << 30, 256 << 10, 8 << 10}, {100, 256 << 10, 1 << 10}, {24 << 20, 1, 1}, {1 << 40, 1 << 30, 8 << 10},
	} {
		if got := shareOf(test.budget, test.window); got != test.want {
			t.Errorf("B48: of %d bytes, with windows of %d, a stream begins with %d, want %d", test.budget, test.window, got, test.want)
		}
	}
}

// A modelStream is both ends of a stream, and what is under way between them.
type modelStream struct {
	send sendCredit
	recv recvWindow
	sent []int // messages under way
	held []int // and in the receiver's queue
	owed int64 // what was consumed since the last grant
}

// TestFlowModel plays the streams of a connection at random. What the receiver may have to
// hold never exceeds the budget, but for one stream of each kind of turn; credit does not leak; and a message
// that is sure fits once all was consumed, whatever happened to the window before.
func TestFlowModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		most := int64(1000 + rnd.IntN(5000))
		b := budget{size: int64(4000 + rnd.IntN(40000))}
		base := int64(1 + rnd.IntN(1000))
		var streams []*modelStream
		var over [2]*modelStream // whose receiver stays, and may have gone
		for range 600 {
			if b.has(base) && (len(streams) == 0 || rnd.IntN(20) == 0) {
				b.used += base
				streams = append(streams, &modelStream{send: newSendCredit(uint64(base)), recv: recvWindow{room: base, window: base, base: base}})
			}
			m := streams[rnd.IntN(len(streams))]
			m.step(t, rnd, &b, most, &over)
			for i := range over {
				if over[i] != nil && !over[i].recv.isOver() {
					over[i] = nil
				}
			}
			used := int64(0)
			for _, m := range streams {
				used += m.recv.window
				m.check(t, seed, m == over[0] || m == over[1])
			}
			if used != b.used || b.used > b.size {
				t.Fatalf("B48: seed %d: the windows have %d, %d are in use of %d", seed, used, b.used, b.size)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// step has something happen on the stream.
func (m *modelStream) step(t *testing.T, rnd *rand.Rand, b *budget, most int64, over *[2]*modelStream) {
	grant := func(n uint32) {
		if n > 0 && m.send.grant(n) != nil {
			t.Errorf("B48: a grant of %d is refused where there are %d", n, m.send.have)
		}
	}
	switch n := 1 + rnd.IntN(int(most)); rnd.IntN(6) {
	case 0, 1:
		if m.send.fits(n) {
			m.send.spend(n)
			m.sent = append(m.sent, n)
		}
	case 2:
		if len(m.sent) > 0 {
			if !m.recv.charge(m.sent[0]) {
				t.Error("B48: a message that was sent with credit has come without")
			}
			m.held, m.sent = append(m.held, m.sent[0]), m.sent[1:]
		}
	case 3:
		if len(m.held) > 0 {
			m.owed += int64(m.held[0])
			m.held = m.held[1:]
		}
		if m.owed > m.recv.window/2 {
			m.recv.consume(m.owed)
			m.owed = 0
			b.resize(&m.recv, most)
			grant(m.recv.grant())
		}
	case 4: // the receiver waits, and the peer has asked
		if len(m.held) > 0 || len(m.sent) > 0 {
			return
		}
		m.recv.consume(m.owed)
		m.owed = 0
		b.widen(&m.recv, max(m.recv.window, int64(n)))
		grant(m.recv.grant())
		if turn := &over[rnd.IntN(2)]; *turn == nil && m.recv.room < int64(n) && m != over[0] && m != over[1] {
			*turn = m
			grant(m.recv.grantOver(int64(n)))
		}
	case 5: // it has no use for what it has
		if back := m.send.takeBack(0); back > 0 {
			if !m.recv.takeBack(back) {
				t.Error("B48: the peer gives back more than it has")
			}
			b.widen(&m.recv, max(m.recv.base, min(m.recv.window, m.recv.room+m.recv.held)))
		}
	}
}

// check holds the invariants.
func (m *modelStream) check(t *testing.T, seed uint64, isOver bool) {
	under := int64(sum(m.sent))
	r := &m.recv
	switch {
	case m.send.have+under != r.room:
		t.Errorf("B48: seed %d: %d may be sent and %d are under way, and the receiver has room for %d", seed, m.send.have, under, r.room)
	case int64(sum(m.held))+m.owed != r.held:
		t.Errorf("B48: seed %d: %d are held, %d owed, and %d counted", seed, sum(m.held), m.owed, r.held)
	case r.isOver() && !isOver:
		t.Errorf("B48: seed %d: room for %d and %d held in a window of %d", seed, r.room, r.held, r.window)
	case len(m.sent)+len(m.held) == 0 && 2*(m.send.have) < m.send.full-1:
		t.Errorf("B48: seed %d: all was consumed, and of %d at first %d may be sent; window %d, owed %d", seed, m.send.full, m.send.have, r.window, m.owed)
	}
}

func sum(ns []int) (s int) {
	for _, n := range ns {
		s += n
	}
	return s
}

// TestCallWindowModel plays requests and answers at random, some larger than the window,
// some held after they were consumed. No more is held, or may come, than the window and, at
// its turn, one message; one that waits is not left waiting; and all credit comes back.
func TestCallWindowModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		size := int64(1 + rnd.IntN(5000))
		send, recv := newSendCredit(uint64(size)), callWindow{room: size, size: size}
		var sent, parked []int
		waits := 0
		grant := func() {
			if n := recv.grant(); n > 0 && send.grant(n) != nil {
				t.Fatalf("B48: seed %d: a grant is refused", seed)
			}
		}
		beyond := false
		want := func(n int) {
			recv.wanted, recv.extra = int64(n), 0
			if beyond = recv.needsMore() && !recv.isOver(); beyond {
				recv.grantBeyond()
			}
			grant()
		}
		arrive := func() {
			n := sent[0]
			sent = sent[1:]
			for got := 0; got < n; { // in parts
				part := min(n-got, 1+rnd.IntN(2000))
				got += part
				if !recv.charge(part) {
					t.Fatalf("B48: seed %d: %d came without credit: %+v", seed, part, recv)
				}
			}
			recv.consume(n)
			if rnd.IntN(3) == 0 && int64(sum(parked)+n) <= size/2 {
				recv.hold(n)
				parked = append(parked, n)
			}
			grant()
		}
		for range 500 {
			most := recv.room + recv.held
			switch rnd.IntN(4) {
			case 0:
				n := waits
				if n == 0 {
					n = 1 + rnd.IntN(6000)
				}
				switch {
				case beyond:
					sent = append(sent, n)
					n = 0
				case send.fits(n):
					send.spend(n)
					sent = append(sent, n)
					n = 0
				}
				if n != waits || n > 0 && recv.needsMore() {
					waits = n
					want(n)
				}
			case 1:
				if len(sent) > 0 {
					arrive()
				}
			case 2:
				if len(parked) > 0 {
					recv.consume(parked[0])
					parked = parked[1:]
					grant()
				}
			case 3: // one without credit is found
				if r := recv; r.charge(int(r.room) + 1) {
					t.Fatalf("B48: seed %d: more is taken than the room of %d", seed, recv.room)
				}
			}
			if is := recv.room + recv.held; is > max(most, size, size+recv.extra) {
				t.Fatalf("B48: seed %d: %d are held, and %d may come, of %d and %d", seed, recv.held, recv.room, size, recv.extra)
			}
		}
		for len(sent) > 0 {
			arrive()
		}
		recv.consume(sum(parked))
		if grant(); waits > 0 && !beyond {
			want(waits)
		}
		if waits > 0 && !beyond && !send.fits(waits) {
			t.Fatalf("B48: seed %d: all was consumed, and one of %d waits with a credit of %d of %d", seed, waits, send.have, size)
		}
		if waits > 0 {
			if !beyond {
				send.spend(waits)
			}
			want(0)
			recv.charge(waits)
			recv.consume(waits)
		}
		recv.wanted = 1
		if grant(); send.have != size {
			t.Fatalf("B48: seed %d: once all was consumed the credit is %d of %d", seed, send.have, size)
		}
	}
}

// TestWindowResized holds how far a window is widened and narrowed.
func TestWindowResized(t *testing.T) {
	for _, test := range []struct {
		used, window, most, want int64
	}{
		{200, 100, 1000, 200}, // twice
		{200, 100, 150, 150},  // no more than most
		{200, 150, 150, 150},
		{450, 100, 1000, 100}, // the half that is for new streams stays theirs
		{400, 100, 1000, 200},
		{501, 100, 1000, 50}, // and is given back
	} {
		b, w := budget{size: 1000, used: test.used}, recvWindow{window: test.window, base: 40}
		b.resize(&w, test.most)
		if w.window != test.want || b.used != test.used+test.want-test.window {
			t.Errorf("B48: a window of %d, %d of 1000 used and at most %d: %d, and %d used; want %d", test.window, test.used, test.most, w.window, b.used, test.want)
		}
	}
}
