// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"errors"

	"github.com/containerd/ttrpc/libchan"
)

// endsRows are of L2.
var endsRows = []row{
	{"L2: a Sender in a message", false, testSender},
	{"L2: a Receiver in a message", false, testReceiver},
	{"L2: at any depth, and typed", true, testDepth},
	{"L2: what is sent away is given away", false, testGivenAway},
	{"L2: an end over its own channel", false, testOwnChannel},
	{"L2: no order of arrival matters", false, testLateClaims},
	{"L2: channels in channels", false, testNested},
	{"L2: what nobody claims is released", false, testUnclaimed},
	{"L2: an end sent back", false, testSentBack},
}

func testSender(k *kit) {
	out, in := k.top()
	r, s := libchan.Pipe()
	k.send(out, 1, s)
	got := k.expect(in, 1, 1)[0].(libchan.Sender)
	for i := range 100 {
		k.send(got, i)
		k.expect(r, i, 0)
	}
	k.must(got.Close())
	k.ends(r)
}

func testReceiver(k *kit) {
	out, in := k.top()
	r, s := libchan.Pipe()
	k.send(s, 0) // before it is given away
	k.send(out, 1, r)
	k.send(s, 1) // and before it is claimed
	got := k.expect(in, 1, 1)[0].(libchan.Receiver)
	for i := range 100 {
		k.send(s, i+2)
		k.expect(got, i, 0)
	}
	k.must(s.Close())
	k.expect(got, 100, 0)
	k.expect(got, 101, 0)
	k.ends(got)
}

type deep struct {
	List  []libchan.SendChan[int]
	ByKey map[string]libchan.RecvChan[string]
	Any   any
	In    *struct{ S libchan.Sender }
	None  libchan.SendChan[int]
	Nil   libchan.Receiver
}

func testDepth(k *kit) {
	out, in := k.top()
	r1, s1 := libchan.Make[int](1)
	r2, s2 := libchan.Make[string](2)
	r3, s3 := libchan.Pipe()
	r4, s4 := libchan.Pipe()
	k.must(out.Send(deep{
		List: []libchan.SendChan[int]{s1}, ByKey: map[string]libchan.RecvChan[string]{"k": r2},
		Any: map[string]any{"s": []any{s3}}, In: &struct{ S libchan.Sender }{s4},
	}))
	var got deep
	k.must(in.Receive(&got))
	k.must(got.List[0].Send(ctx, 1))
	if v, err := r1.Receive(ctx); v != 1 || err != nil {
		k.Errorf("in a slice: %v, %v", v, err)
	}
	k.must(s2.Send(ctx, "two"))
	if v, err := got.ByKey["k"].Receive(ctx); v != "two" || err != nil {
		k.Errorf("in a map: %v, %v", v, err)
	}
	k.send(got.Any.(map[string]any)["s"].([]any)[0].(libchan.Sender), 3)
	k.expect(r3, 3, 0)
	k.send(got.In.S, 4)
	k.expect(r4, 4, 0)
	if got.Nil != nil || got.None.Sender() != nil {
		k.Error("what was nil is something")
	}
}

func testGivenAway(k *kit) {
	out, in := k.top()
	r, s := libchan.Pipe()
	r2, s2 := libchan.Pipe()
	k.send(out, 1, s, r2)
	if err := s.Send(k.value(1)); !errors.Is(err, libchan.ErrGivenAway) {
		k.Errorf("Send: %v, want ErrGivenAway", err)
	}
	if err := s.Close(); !errors.Is(err, libchan.ErrGivenAway) {
		k.Errorf("Close: %v, want ErrGivenAway", err)
	}
	if _, err := k.receive(r2); !errors.Is(err, libchan.ErrGivenAway) {
		k.Errorf("Receive: %v, want ErrGivenAway", err)
	}
	for _, end := range []any{s, r2} {
		if err := out.Send(k.value(2, end)); !errors.Is(err, libchan.ErrGivenAway) {
			k.Errorf("a second Send of a %T: %v, want ErrGivenAway", end, err)
		}
	}
	got := k.expect(in, 1, 2)
	k.send(got[0].(libchan.Sender), 5)
	k.expect(r, 5, 0)
	k.send(s2, 6)
	k.expect(got[1].(libchan.Receiver), 6, 0)
}

func testOwnChannel(k *kit) {
	s, r := k.giveReceiver(-1)
	if err := s.Send(k.value(1, s)); !errors.Is(err, libchan.ErrOwnChannel) {
		k.Errorf("a sender over its own channel: %v, want ErrOwnChannel", err)
	}
	k.send(s, 2)
	k.expect(r, 2, 0)
}

// testLateClaims has ends claimed in the opposite order, after all was sent and closed.
func testLateClaims(k *kit) {
	const n = 20
	out, in := k.top()
	for i := range n {
		r, s := libchan.Pipe()
		k.send(s, i)
		k.send(out, i, r)
		k.send(s, i+1)
		k.must(s.Close())
	}
	k.must(out.Close())
	var got [n]libchan.Receiver
	for i := range n {
		got[i] = k.expect(in, i, 1)[0].(libchan.Receiver)
	}
	k.ends(in)
	for i := n - 1; i >= 0; i-- {
		k.expect(got[i], i, 0)
		k.expect(got[i], i+1, 0)
		k.ends(got[i])
	}
}

// testNested sends a channel over a channel over a channel, each the other way.
func testNested(k *kit) {
	out, in := k.top()
	for i := range 8 {
		r, s := libchan.Pipe()
		if i%2 == 0 { // the other side sends from now on
			k.send(out, i, s)
			out, in = k.expect(in, i, 1)[0].(libchan.ContextSender), r.(libchan.ContextReceiver)
		} else {
			k.send(out, i, r)
			out, in = s.(libchan.ContextSender), k.expect(in, i, 1)[0].(libchan.ContextReceiver)
		}
	}
	k.send(out, 100)
	k.expect(in, 100, 0)
}

func testUnclaimed(k *kit) {
	out, in := k.top()
	for _, drop := range []func() error{
		func() error { return in.Receive(new(chan int)) },
		func() error { in.Cancel(nil); return errors.New("cancelled") },
	} {
		r, s := libchan.Pipe()
		r2, s2 := libchan.Pipe()
		k.send(out, 1, s, r2)
		if err := drop(); err == nil {
			k.Error("a note was received into a chan int")
		}
		if _, err := k.receive(r); !errors.Is(err, libchan.ErrDropped) {
			k.Errorf("Receive from a sender that nobody has claimed: %v, want ErrDropped", err)
		}
		<-s2.(libchan.ContextSender).Done()
		if err := s2.Send(k.value(1)); !errors.Is(err, libchan.ErrDropped) {
			k.Errorf("Send to a receiver that nobody has claimed: %v, want ErrDropped", err)
		}
	}
}

func testSentBack(k *kit) {
	back, home := k.topOf(k.b, k.a)
	for _, capacity := range []int{-1, 2} {
		s, r := k.giveReceiver(capacity)
		k.send(s, 1)
		k.send(back, 0, r)
		got := k.expect(home, 0, 1)[0].(libchan.Receiver)
		k.expect(got, 1, 0)
		k.send(s, 2)
		k.expect(got, 2, 0)
		k.must(s.Close())
		k.ends(got)
	}
}
