// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchantest

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/libchan"
)

// passRows are of L5: b of a session is in the middle, and passes on to c by another one.
var passRows = []row{
	{"L5: a Receiver passed on", false, testPassReceiver},
	{"L5: a Sender passed on", false, testPassSender},
	{"L5: backpressure and taken by hops", false, testPassCapacity},
	{"L5: ends and errors by hops", false, testPassEnds},
	{"L5: the middle goes", false, testPassMiddle},
	{"L5: Copy between sessions", false, testCopy},
}

// passReceiver makes a channel whose receiver goes from a over b to c.
func (k *kit) passReceiver(capacity int) (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	s, middle := k.giveReceiver(capacity)
	return s, k.passOn(middle).(libchan.ContextReceiver)
}

// passSender makes a channel whose sender goes from a over b to c.
func (k *kit) passSender(capacity int) (libchan.ContextSender, libchan.ContextReceiver) {
	k.Helper()
	middle, r := k.giveSender(capacity)
	return k.passOn(middle).(libchan.ContextSender), r
}

// passOn sends what b has to c.
func (k *kit) passOn(end any) any {
	k.Helper()
	out, in := k.topOf(k.session())
	k.send(out, 0, end)
	return k.expect(in, 0, 1)[0]
}

func (k *kit) passed(capacity int, f func(s libchan.ContextSender, r libchan.ContextReceiver)) {
	k.Helper()
	f(k.passReceiver(capacity))
	f(k.passSender(capacity))
}

func testPassReceiver(k *kit) {
	s, r := k.passReceiver(-1)
	exercise(k, s, r)
}

func testPassSender(k *kit) {
	s, r := k.passSender(-1)
	exercise(k, s, r)
}

// exercise sends messages and a channel, and closes.
func exercise(k *kit, s libchan.ContextSender, r libchan.ContextReceiver) {
	k.Helper()
	for i := range 20 {
		k.send(s, i)
		k.expect(r, i, 0)
	}
	answers, ret := libchan.Pipe()
	k.send(s, 7, ret)
	k.must(s.Close())
	got := k.expect(r, 7, 1)[0].(libchan.Sender)
	k.ends(r)
	k.send(got, 8)
	k.must(got.Close())
	k.expect(answers, 8, 0)
	k.ends(answers)
}

func testPassCapacity(k *kit) {
	k.passed(0, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		err := s.SendContext(k.brief(), k.value(1))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, libchan.ErrUnconfirmed) {
			k.Errorf("a rendezvous with nobody at the end of a chain: %v", err)
		}
		k.expect(r, 1, 0)
		done := make(chan error, 1)
		go func() { done <- s.Send(k.value(2)) }()
		k.expect(r, 2, 0)
		k.must(<-done)
	})
}

func testPassEnds(k *kit) {
	k.passed(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		k.send(s, 1)
		k.must(s.CloseWithError(status.Error(codes.DataLoss, "gone")))
		k.expect(r, 1, 0)
		if _, err := k.receive(r); status.Code(err) != codes.DataLoss {
			k.Errorf("the end is %v, want DataLoss", err)
		}
	})
	k.passed(-1, func(s libchan.ContextSender, r libchan.ContextReceiver) {
		k.send(s, 1)
		k.expect(r, 1, 0)
		r.Cancel(status.Error(codes.OutOfRange, "enough"))
		<-s.Done()
		if err := s.Send(k.value(2)); status.Code(err) != codes.OutOfRange {
			k.Errorf("Send: %v, want OutOfRange", err)
		}
	})
}

// testPassMiddle ends the first session of a chain.
func testPassMiddle(k *kit) {
	s, r := k.passReceiver(-1)
	k.send(s, 1)
	k.expect(r, 1, 0)
	k.must(k.b.Close())
	if _, err := k.receive(r); !errors.Is(err, libchan.ErrSessionEnded) {
		k.Errorf("Receive without the middle: %v, want ErrSessionEnded", err)
	}
	<-s.Done()
	if err := s.Send(k.value(2)); !errors.Is(err, libchan.ErrSessionEnded) {
		k.Errorf("Send without the middle: %v, want ErrSessionEnded", err)
	}
}

func testCopy(k *kit) {
	out, in := k.top()
	out2, in2 := k.topOf(k.session())
	copied := make(chan int, 1)
	go func() {
		n, err := libchan.Copy(out2, in)
		if err != nil {
			k.Errorf("Copy: %v", err)
		}
		_ = out2.Close()
		copied <- n
	}()
	for i := range 20 {
		k.send(out, i)
		k.expect(in2, i, 0)
	}
	exercise(k, out, in2)
	if n := <-copied; n != 41 {
		k.Errorf("Copy says %d messages, want 41", n)
	}
}
