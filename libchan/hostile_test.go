// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/containerd/ttrpc"
)

// onHostile runs a test against a peer in either role. Afterwards nothing may be left.
func onHostile(t *testing.T, f func(t *testing.T, h *hostile)) {
	for role, dials := range map[string]bool{"client": true, "server": false} {
		t.Run(role, func(t *testing.T) {
			within(t, func(t *testing.T) {
				h := newHostile(t, dials)
				f(t, h)
				h.leaves()
			})
		})
	}
}

// ids returns an id that the peer may use, and one that it may not.
func (h *hostile) ids() (own, other uint64) { return 3 - h.victim.step, h.victim.step }

// A peer that attaches to what it was not given gets an error on that stream alone.
func TestHostileUnknownIDs(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		own, other := h.ids()
		for _, id := range []uint64{0, own, other, other + 1000, 1 << 63} {
			if st := h.open(wireOpen{id: id, attach: true}).wantEnd(t); st.Code() != codes.NotFound {
				t.Errorf("attach to %d: %v, want NotFound", id, st)
			}
		}
		for _, id := range []uint64{0, other} {
			if st := h.open(wireOpen{id: id}).wantEnd(t); st.Code() != codes.InvalidArgument {
				t.Errorf("a new channel %d: %v, want InvalidArgument", id, st)
			}
		}
		good := h.open(wireOpen{id: own})
		if st := h.open(wireOpen{id: own}).wantEnd(t); st.Code() != codes.InvalidArgument {
			t.Errorf("the id of another channel: %v, want InvalidArgument", st)
		}
		if st := h.open(wireOpen{id: own + 2, capacity: maxCapacity + 1}).wantEnd(t); st.Code() != codes.InvalidArgument {
			t.Errorf("too much of a capacity: %v, want InvalidArgument", st)
		}
		h.tells(wireControl{reports: []wireReport{{id: own, taken: 5, final: true}, {id: 999, taken: 1}}})
		r, err := h.victim.WaitReceiveChannel()
		must(t, err)
		b, _ := Msgpack.Marshal(nil, 1, plainRefs{})
		good.sends(b, "")
		receives(t, r, 1)
	})
}

// A session cannot be reached from outside of it.
func TestHostileOtherSession(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		own, _ := h.ids()
		for _, session := range []uint64{0, h.number + 1, 1 << 40} {
			o := wireOpen{session: session, id: own}
			if st := h.opens("Open", o.append(nil)).wantEnd(t); st.Code() != codes.NotFound {
				t.Errorf("a channel of session %d: %v, want NotFound", session, st)
			}
		}
	})
}

// A peer that attaches twice gets an error on the second stream; the first goes on.
func TestHostileAttachesTwice(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		out, err := h.victim.OpenChannel(ctx, "")
		must(t, err)
		r, s := pipe(-1)
		must(t, out.Send(withEnd{S: s}))
		_, other := h.ids()
		id := other + 2
		first := h.open(wireOpen{id: id, attach: true})
		if st := h.open(wireOpen{id: id, attach: true}).wantEnd(t); st.Code() != codes.NotFound {
			t.Errorf("a second attach: %v, want NotFound", st)
		}
		b, _ := Msgpack.Marshal(nil, 1, plainRefs{})
		first.sends(b, "")
		receives(t, r, 1)
		h.tells(wireControl{releases: []uint64{id}}) // late: it is attached
		first.sends(b, "")
		receives(t, r, 1)
		runtime.KeepAlive(out)
	})
}

// Nonsense on a channel ends that channel, with an error at both sides.
func TestHostileMessages(t *testing.T) {
	many := make([]wireRef, maxRefs+1)
	for i := range many {
		many[i].id = uint64(2*i + 1000)
	}
	onHostile(t, func(t *testing.T, h *hostile) {
		own, other := h.ids()
		for i := range many {
			many[i].id = own + uint64(2*i+1000)
		}
		for i, send := range []func(s *hostileStream){
			func(s *hostileStream) { s.says([]byte{0xff, 0xff, 0xff}) },
			func(s *hostileStream) { s.sends(bodyOf(0), "", wireRef{id: other}) },
			func(s *hostileStream) { s.sends(bodyOf(0), "", wireRef{id: 0}) },
			func(s *hostileStream) { s.sends(bodyOf(0), "", wireRef{id: own + 50, capacity: 1 << 60}) },
			func(s *hostileStream) { s.sends(bodyOf(), "", many...) },
			func(s *hostileStream) { s.says(appendField(nil, 4, "\xff")) },
		} {
			s := h.open(wireOpen{id: own + uint64(2*i)})
			r, err := h.victim.WaitReceiveChannel()
			must(t, err)
			send(s)
			if err := r.Receive(new(any)); err == nil || err == io.EOF {
				t.Errorf("message %d: received, and %v", i, err)
			}
			if st := s.wantEnd(t); st.Code() == codes.OK {
				t.Errorf("message %d: the stream ends with %v, want an error", i, st)
			}
		}
		big := wireOpen{id: own + 100, first: make([]byte, maxFirst+1)}
		if st := h.open(big).wantEnd(t); st.Code() != codes.InvalidArgument {
			t.Errorf("a first message that is too large: %v, want InvalidArgument", st)
		}
	})
}

// What a message says beside what can be decoded fails that Receive, and the next is good.
func TestHostileBodies(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x91}, 2_000), 0xc0) // lists in lists
	onHostile(t, func(t *testing.T, h *hostile) {
		own, _ := h.ids()
		s := h.open(wireOpen{id: own})
		r, err := h.victim.WaitReceiveChannel()
		must(t, err)
		for i, send := range []func(){
			func() { s.sends(bodyOf(0), "nobody's") },
			func() { s.sends(bodyOf(1), "", wireRef{id: own + 2}) },
			func() { s.sends(bodyOf(0, 0), "", wireRef{id: own + 4}) },
			func() { s.sends(bodyOf(0), "") },
			func() { s.sends(deep, "") },
			func() { s.sends(deep[:len(deep)-1], "") },
			func() { s.sends([]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, "") },
			func() { s.sends([]byte(strings.Repeat("[", 2_000)), "json") },
			func() { s.sends([]byte{1, 2, 3}, "gob") },
			func() { s.sends([]byte{0xff}, "protobuf") },
		} {
			send()
			if err := r.Receive(new(any)); err == nil || r.(ContextReceiver).Cause() != nil {
				t.Errorf("body %d: %v, and the channel ends with %v; want an error and no end", i, err, r.(ContextReceiver).Cause())
			}
		}
		b, _ := Msgpack.Marshal(nil, 1, plainRefs{})
		s.sends(b, "")
		receives(t, r, 1)
	})
}

// What is impossible on the control stream ends the session, and says so.
func TestHostileControl(t *testing.T) {
	for i, tell := range []func(h *hostile){
		func(h *hostile) { h.control.says([]byte{0xff}) },
		func(h *hostile) { h.tells(wireControl{hello: &wireHello{version: 1, session: 5}}) },
		func(h *hostile) { _, other := h.ids(); h.tells(wireControl{releases: []uint64{other + 1000}}) },
		func(h *hostile) { own, _ := h.ids(); h.tells(wireControl{releases: []uint64{own}}) },
		func(h *hostile) { h.tells(wireControl{accepted: 1}) },
	} {
		onHostile(t, func(t *testing.T, h *hostile) {
			tell(h)
			<-h.victim.Done()
			if cause := h.victim.Cause(); cause == nil || cause == io.EOF {
				t.Errorf("control %d: the session ends with %v, want an error", i, cause)
			}
		})
	}
}

// A peer that says it has taken more than was sent ends that channel.
func TestHostileTakesTooMuch(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		out, err := h.victim.OpenChannel(ctx, "")
		must(t, err)
		must(t, out.Send(1))
		_, other := h.ids()
		h.tells(wireControl{reports: []wireReport{{id: other, taken: 2}}})
		<-out.Done()
		if err := out.Send(1); !strings.Contains(err.Error(), errTooMany.Error()) {
			t.Errorf("Send: %v, want %v", err, errTooMany)
		}
	})
}

// A flood of channels that nobody claims is bounded: what is opened by the backlog, what comes in
// messages by the credit of the channel that carries them.
func TestHostileFlood(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		own, _ := h.ids()
		refused := 0
		for i := range maxBacklog + 50 {
			s := h.open(wireOpen{id: own + uint64(2*i)})
			if err := s.msgs.RecvMsg(ttrpc.Within(tried, new(ttrpc.RawMessage))); !isTried(err) {
				refused++
			}
		}
		if refused != 50 {
			t.Errorf("%d new channels were refused, want 50 beyond %d", refused, maxBacklog)
		}
		first := h.streams[0]
		refs := make([]wireRef, maxRefs)
		id := own + 1_000_000
		for range 200 {
			for i := range refs {
				refs[i].id = id
				id += 2
			}
			first.sends(bodyOf(), "", refs...)
		}
		synctest.Wait()
		h.victim.mu.Lock()
		n := len(h.victim.channels)
		h.victim.mu.Unlock()
		if n > maxBacklog {
			t.Errorf("%d channels in the table, and at most %d may be", n, maxBacklog)
		}
	})
}

// A peer that ends streams which it has no business to end is told as gone.
func TestHostileEndsStreams(t *testing.T) {
	onHostile(t, func(t *testing.T, h *hostile) {
		out, err := h.victim.OpenChannel(ctx, "")
		must(t, err)
		r, s := pipe(0)
		r2, s2 := pipe(-1)
		must(t, out.Send(withEnd{S: s2, R: r}))
		synctest.Wait() // its stream is the first
		_, other := h.ids()
		receiver := h.open(wireOpen{id: other + 4, attach: true})
		sender := h.open(wireOpen{id: other + 2, attach: true})
		receiver.cancel()
		sender.cancel()
		synctest.Wait()
		if err := r2.Receive(new(int)); err == nil || err == io.EOF {
			t.Errorf("Receive from who has cancelled: %v, want an error", err)
		}
		if err := s.Send(1); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("Send to who has cancelled: %v, want ErrSessionEnded", err)
		}
		h.streams[0].end(nil)
		synctest.Wait()
		if err := out.Send(1); err == nil {
			t.Error("Send to who has ended the stream succeeds")
		}
	})
}
