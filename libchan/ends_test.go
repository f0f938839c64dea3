// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A way is how the two ends of a channel come to be where they are.
type way struct {
	name string
	make func(t *testing.T, capacity int) (ContextSender, ContextReceiver)
}

type withEnd struct {
	S Sender
	R Receiver
}

// carry sends an end over a channel and returns what arrives.
func carry(t *testing.T, s Sender, r Receiver, m withEnd) withEnd {
	t.Helper()
	must(t, s.Send(m))
	var got withEnd
	must(t, r.Receive(&got))
	return got
}

// ways are those there are, but for the session's own channels, which have no capacity.
var ways = []way{
	{"in memory", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		r, s := pipe(capacity)
		return s, r
	}},
	{"the receiver sent away", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := pipe(capacity)
		return s, carry(t, out, in, withEnd{R: r}).R.(ContextReceiver)
	}},
	{"the sender sent away", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		near, far := sessions(t)
		out, in := top(t, far, near)
		r, s := pipe(capacity)
		return carry(t, out, in, withEnd{S: s}).S.(ContextSender), r
	}},
	{"both sent away, and back", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		near, far := sessions(t)
		there, in := top(t, near, far)
		back, out := top(t, far, near)
		r, s := pipe(capacity)
		got := carry(t, there, in, withEnd{S: s, R: r})
		got = carry(t, back, out, got)
		return got.S.(ContextSender), got.R.(ContextReceiver)
	}},
	{"the receiver passed on twice", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		r, s := pipe(capacity)
		var end Receiver = r
		for range 3 {
			near, far := sessions(t)
			out, in := top(t, near, far)
			end = carry(t, out, in, withEnd{R: end}).R
		}
		return s, end.(ContextReceiver)
	}},
	{"the sender passed on twice", func(t *testing.T, capacity int) (ContextSender, ContextReceiver) {
		r, s := pipe(capacity)
		var end Sender = s
		for range 3 {
			near, far := sessions(t)
			out, in := top(t, near, far)
			end = carry(t, out, in, withEnd{S: end}).S
		}
		return end.(ContextSender), r
	}},
}

// eachWay runs a test for each way and capacity.
func eachWay(t *testing.T, capacities []int, f func(t *testing.T, capacity int, s ContextSender, r ContextReceiver)) {
	for _, w := range ways {
		for _, n := range capacities {
			t.Run(fmt.Sprintf("%s, %d", w.name, n), func(t *testing.T) {
				within(t, func(t *testing.T) {
					s, r := w.make(t, n)
					f(t, n, s, r)
				})
			})
		}
	}
}

var anyCapacity = []int{-1, 0, 1, 5}

// L6, L9: all that was sent is received in order, then io.EOF.
func TestCloseDeliversAll(t *testing.T) {
	eachWay(t, anyCapacity, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		go func() {
			for i := range 200 {
				if err := s.Send(i); err != nil {
					t.Errorf("Send %d: %v", i, err)
				}
			}
			s.Close()
		}()
		for i := range 200 {
			receives(t, r, i)
		}
		for range 2 {
			if err := r.Receive(new(int)); err != io.EOF {
				t.Errorf("L6: the end is %v, want io.EOF", err)
			}
		}
		if err := r.Cause(); err != io.EOF {
			t.Errorf("L6: the receiver's Cause is %v, want io.EOF", err)
		}
	})
}

// Review "directions end apart": an error is sent as the end, after all messages.
func TestCloseWithError(t *testing.T) {
	eachWay(t, anyCapacity, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		go func() {
			s.Send("last")
			s.CloseWithError(status.Error(codes.DataLoss, "half of it is gone"))
		}()
		receives(t, r, "last")
		err := r.Receive(new(string))
		if status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "half of it is gone") {
			t.Errorf("L6: the end is %v, want DataLoss", err)
		}
	})
}

// Review "directions end apart": a receiver that takes no more says why.
func TestCancelCause(t *testing.T) {
	eachWay(t, []int{-1, 0, 3}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		blocked := make(chan error)
		go func() {
			for {
				if err := s.Send(strings.Repeat("x", 10000)); err != nil {
					blocked <- err
					return
				}
			}
		}()
		receives(t, r, strings.Repeat("x", 10000))
		synctest.Wait()
		r.Cancel(status.Error(codes.OutOfRange, "enough"))
		r.Cancel(errors.New("again"))
		err := <-blocked
		if status.Code(err) != codes.OutOfRange || !strings.Contains(err.Error(), "enough") {
			t.Errorf("L6: the Send that waited returns %v, want OutOfRange", err)
		}
		for range 2 {
			if err := s.Send("more"); status.Code(err) != codes.OutOfRange {
				t.Errorf("L6: the next Send returns %v, want OutOfRange", err)
			}
		}
		<-s.Done()
		if status.Code(s.Cause()) != codes.OutOfRange {
			t.Errorf("the sender's Cause is %v, want OutOfRange", s.Cause())
		}
		if err := r.Receive(new(string)); !errors.Is(err, ErrClosed) {
			t.Errorf("Receive after Cancel: %v, want ErrClosed", err)
		}
	})
}

// L6: Close has a Send that waits return.
func TestCloseUnblocksSend(t *testing.T) {
	eachWay(t, []int{-1, 0, 3}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		blocked := make(chan error)
		sent := 0
		go func() {
			for {
				if err := s.Send(sent); err != nil {
					blocked <- err
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		must(t, s.Close())
		if err := <-blocked; !errors.Is(err, ErrClosed) {
			t.Fatalf("the Send that waited returns %v, want ErrClosed", err)
		}
		for i := range sent {
			receives(t, r, i)
		}
		if n == 0 { // the one that waited to be taken was sent
			receives(t, r, sent)
		}
		if err := r.Receive(new(int)); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
	})
}

// Review "rendezvous and contexts": a capacity means what it does in Go, also across the wire.
func TestCapacity(t *testing.T) {
	eachWay(t, []int{0, 1, 5}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		if s.Cap() != n || r.Cap() != n {
			t.Errorf("L7: Cap is %d and %d, want %d", s.Cap(), r.Cap(), n)
		}
		done := 0
		go func() {
			for i := range 20 {
				s.Send(i)
				done = i + 1
			}
		}()
		for i := range 20 {
			synctest.Wait()
			if want := min(i+n, 20); done != want {
				t.Fatalf("L7: with %d received %d have been sent, want %d", i, done, want)
			}
			receives(t, r, i)
		}
		synctest.Wait()
		if s.Taken() != 20 || s.Sent() != 20 {
			t.Errorf("L9: %d of %d are known to be taken, want 20", s.Taken(), s.Sent())
		}
	})
}

// L7: a channel without a capacity stops its sender when a window is full, and goes on.
func TestWindowStopsSender(t *testing.T) {
	eachWay(t, []int{-1}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		big := strings.Repeat("x", 1000)
		sent := 0
		go func() {
			for range 5000 {
				s.Send(big)
				sent++
			}
			s.Close()
		}()
		synctest.Wait()
		if sent < 1 || sent > 3000 {
			t.Errorf("L7: %d messages of 1,000 bytes were sent that nobody receives", sent)
		}
		for range 5000 {
			receives(t, r, big)
		}
		if err := r.Receive(new(string)); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
	})
}

// L6: SendContext and ReceiveContext end with their context and leave the channel good.
func TestContexts(t *testing.T) {
	eachWay(t, anyCapacity, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := r.ReceiveContext(short, new(string)); err != context.DeadlineExceeded {
			t.Fatalf("ReceiveContext: %v, want DeadlineExceeded", err)
		}
		big := strings.Repeat("x", 5000)
		sent, last := 0, error(nil)
		for last == nil {
			short, cancel := context.WithTimeout(ctx, time.Second)
			last = s.SendContext(short, big)
			cancel()
			sent++
		}
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Fatalf("SendContext: %v, want DeadlineExceeded", last)
		}
		if unconfirmed := errors.Is(last, ErrUnconfirmed); unconfirmed != (n == 0) {
			t.Errorf("SendContext with the capacity %d: %v", n, last)
		}
		if n != 0 {
			sent--
		}
		go func() {
			s.Send("last")
			s.Close()
		}()
		for range sent {
			receives(t, r, big)
		}
		receives(t, r, "last")
		if n >= 0 {
			synctest.Wait()
			if s.Taken() != uint64(sent)+1 {
				t.Errorf("%d messages are known to be taken, want %d", s.Taken(), sent+1)
			}
		}
	})
}

// L1: a message of the wrong type fails that Receive and nothing else.
func TestWrongType(t *testing.T) {
	eachWay(t, []int{-1, 2}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		must(t, s.Send("text"))
		must(t, s.Send(5))
		if err := r.Receive(new(int)); err == nil || err == io.EOF {
			t.Errorf("L1: text received as a number: %v", err)
		}
		receives(t, r, 5)
	})
}

// The user's mistakes are errors, and leave the channel good.
func TestMistakes(t *testing.T) {
	eachWay(t, []int{-1, 2}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		if err := s.Send(struct{ F func() }{func() {}}); err == nil || !strings.Contains(err.Error(), "F") {
			t.Errorf("a func in a message: %v, want an error that names the field", err)
		}
		must(t, s.Send(1))
		if err := r.Receive(nil); err == nil {
			t.Error("Receive into nil succeeds")
		}
		must(t, s.Send(2))
		receives(t, r, 2)
	})
}

// Review "ownership": an end cannot be sent over its own channel, by whoever has both.
func TestOwnChannel(t *testing.T) {
	r, s := pipe(-1)
	for _, m := range []withEnd{{R: r}, {S: s}} {
		if err := s.Send(m); !errors.Is(err, ErrOwnChannel) {
			t.Errorf("an end over its own channel: %v, want ErrOwnChannel", err)
		}
	}
	must(t, s.Send(1))
	receives(t, r, 1)
}

// Review "people also expect": the ends of a handle that nobody holds are found.
func TestDroppedEnds(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, dropsSender := range []bool{true, false} {
			near, far := sessions(t)
			out, in := top(t, near, far)
			r, s := pipe(-1)
			m := withEnd{S: s}
			if !dropsSender {
				m = withEnd{R: r}
			}
			got := carry(t, out, in, m)
			drop(&got)
			if dropsSender {
				if err := r.Receive(new(int)); !errors.Is(err, ErrDropped) {
					t.Errorf("the receiver of a dropped sender: %v, want ErrDropped", err)
				}
			} else {
				<-s.Done()
				if err := s.Send(1); !errors.Is(err, ErrDropped) {
					t.Errorf("the sender of a dropped receiver: %v, want ErrDropped", err)
				}
			}
		}
	})
}

// drop does what the garbage collector does with the handles of a message, at its own time.
func drop(m *withEnd) {
	if s, ok := m.S.(*sender); ok {
		s.lapse()
	}
	if r, ok := m.R.(*receiver); ok {
		r.lapse()
	}
}
