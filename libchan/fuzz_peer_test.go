// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/testkit"
)

// A script is the bytes that a hostile's steps are made of.
type script struct{ b []byte }

// next returns the next byte, 0 at the end.
func (s *script) next() int {
	if len(s.b) == 0 {
		return 0
	}
	n := s.b[0]
	s.b = s.b[1:]
	return int(n)
}

// id is mostly one of few ids, so that they meet.
func (s *script) id() uint64 {
	switch n := s.next(); {
	case n < 240:
		return uint64(n % 24)
	case n < 250:
		return uint64(n) << 30
	default:
		return math.MaxUint64 - uint64(n%3)
	}
}

// bodies are what messages have.
var bodies = func() [][]byte {
	plain := func(v any) []byte {
		b, _ := Msgpack.Marshal(nil, v, plainRefs{})
		return b
	}
	return [][]byte{
		nil, plain(1), plain("text"), bodyOf(0), bodyOf(0, 1, 2), bodyOf(2, 0), bodyOf(0, 0), bodyOf(999),
		plain(map[string]any{"a": Ref(0), "b": []any{Ref(1)}}), {0x91, 0x91, 0x91}, {0xc1}, make([]byte, 3000),
	}
}()

// message returns a message.
func (s *script) message() []byte {
	kind := s.next()
	m := wireMessage{body: bodies[kind%len(bodies)]}
	switch s.next() % 8 {
	case 6:
		m.codec = "json"
	case 7:
		m.codec = "nobody's"
	}
	for range s.next() % 5 {
		m.refs = append(m.refs, wireRef{id: s.id(), sends: s.next()%2 == 0, capacity: uint64(s.next() % 5), untaken: uint64(max(0, s.next()-252))})
	}
	if kind > 240 {
		m.end = &spb.Status{Code: int32(s.next() % 17), Message: "the end"}
	}
	payload := append(make([]byte, headroom), m.body...)
	payload = m.appendBeside(withBodyTag(payload))
	if kind > 250 {
		payload[len(payload)/2] ^= byte(s.next())
	}
	return payload
}

// step has the hostile, or the victim, do something.
func (h *hostile) step(s *script) {
	stream := func() *hostileStream {
		if len(h.streams) == 0 {
			return nil
		}
		return h.streams[s.next()%len(h.streams)]
	}
	switch s.next() % 16 {
	case 0, 1:
		o := wireOpen{id: s.id(), capacity: uint64(s.next() % 5), name: fmt.Sprint(s.next() % 3)}
		if s.next()%2 == 0 {
			o.first = s.message()
		}
		h.open(o)
	case 2, 3:
		o := wireOpen{id: s.id(), attach: true}
		if s.next()%4 == 0 {
			o.first = s.message()
		}
		h.open(o)
	case 4, 5, 6, 7:
		stream().says(s.message())
	case 8:
		if st := stream(); st != nil {
			st.end(nil)
		}
	case 9:
		if st := stream(); st != nil && s.next()%2 == 0 {
			st.cancel()
		} else if st != nil {
			st.end(errors.New("an error"))
		}
	case 10, 11:
		r := wireReport{id: s.id(), taken: uint64(s.next() % 6), final: s.next()%3 == 0}
		if s.next()%2 == 0 {
			r.cause = &spb.Status{Code: int32(s.next() % 17), Message: "enough"}
		}
		h.tells(wireControl{reports: []wireReport{r}})
	case 12:
		h.tells(h.rareControl(s))
	case 13, 14:
		h.victimGives(s)
	case 15:
		h.drainOne(stream())
	}
}

// rareControl is what a side tells seldom.
func (h *hostile) rareControl(s *script) (c wireControl) {
	switch s.next() % 8 {
	case 0, 1, 2, 3:
		c.releases = []uint64{s.id()}
	case 4:
		c.accepted = uint64(s.next() % 3)
	case 5:
		c.draining = true
	case 6:
		c.idle = &wireIdle{uint64(s.next() % 3), uint64(s.next() % 3)}
	case 7:
		c.hello = &wireHello{version: 1, session: 1}
	}
	return c
}

// victimGives has the victim open a channel, and send ends over it that it uses.
func (h *hostile) victimGives(s *script) {
	capacity, n := s.next()%4-1, s.next()%4
	go func() {
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		out, err := h.victim.OpenChannel(short, "")
		if err != nil {
			return
		}
		d := &drinker{s: h.victim}
		for range n {
			r, there := pipe(capacity)
			here, w := pipe(capacity)
			if out.SendContext(short, withEnd{S: w, R: r}) == nil {
				go d.drink(here)
				go d.use(ContextSender(there))
			}
		}
		_ = out.Close()
	}()
	synctest.Wait()
}

// drainOne reads what the victim has sent on a stream, which gives it credit.
func (h *hostile) drainOne(s *hostileStream) {
	for i := 0; s != nil && i < 100; i++ {
		if s.msgs.RecvMsg(ttrpc.Within(tried, new(ttrpc.RawMessage))) != nil {
			return
		}
		synctest.Wait()
	}
}

// play runs a script against a session. The bubble sees to it that nothing runs afterwards.
func play(t *testing.T, b []byte) {
	within(t, func(t *testing.T) {
		s := &script{b}
		h := newHostile(t, s.next()%2 == 0)
		d := &drinker{s: h.victim}
		go d.run()
		synctest.Wait()
		for len(s.b) > 0 {
			h.step(s)
			synctest.Wait()
		}
		h.leaves()
	})
}

// FuzzPeer plays what it likes against a session: it may end, with an error, and nothing hangs,
// panics or is left. Which goroutine comes first is left to chance, so that much looks new to the
// fuzzer, and by default it makes each such input smaller for up to a minute, of which it counts
// no execution: give it -fuzzminimizetime 20x.
func FuzzPeer(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomScript(seed, 200))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= 1000 {
			play(t, b)
		}
	})
}

func randomScript(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.IntN(256))
	}
	return b
}

// L14: hostile peers by chance.
func TestHostileByChance(t *testing.T) {
	for seed := range uint64(300 * testkit.Times(t)) {
		seed += 1000
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { play(t, randomScript(seed, 300)) })
	}
}
