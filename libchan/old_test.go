// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Where the libchan of 2014 broke. Each test is one of its failures, that does not happen here.

// It waited for one wake-up of any new stream, and then failed: "channel does not exist".
func TestOldNestedBeforeItsStream(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		var all []Receiver
		for i := range 50 { // many at once, taken late, and in the opposite order
			r, s := Pipe()
			must(t, s.Send(i))
			must(t, out.Send(withEnd{R: r}))
			_, _ = top(t, near, far)
		}
		for range 50 {
			var m withEnd
			must(t, in.Receive(&m))
			all = append(all, m.R)
		}
		for i := 49; i >= 0; i-- {
			receives(t, all[i], i)
		}
	})
}

// It hung for ever in a wait for a stream once the session had ended, and in WaitReceiveChannel.
func TestOldWaitsAfterTheEnd(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := Pipe()
		must(t, out.Send(withEnd{R: r}))
		var m withEnd
		must(t, in.Receive(&m))
		near.Close()
		<-far.Done()
		if err := m.R.Receive(new(int)); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("Receive: %v, want ErrSessionEnded", err)
		}
		if _, err := far.WaitReceiveChannel(); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("WaitReceiveChannel: %v, want ErrSessionEnded", err)
		}
		if err := s.Send(1); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("Send: %v, want ErrSessionEnded", err)
		}
	})
}

// A Sender that was sent twice, one copy closed and the other used, had the first process panic.
func TestOldSenderSentTwice(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := Pipe()
		must(t, out.Send(withEnd{S: s}))
		if err := out.Send(withEnd{S: s}); !errors.Is(err, ErrGivenAway) {
			t.Errorf("an end sent twice: %v, want ErrGivenAway", err)
		}
		var m withEnd
		must(t, in.Receive(&m))
		must(t, m.S.Close())
		if err := m.S.Send(1); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if err := r.Receive(new(int)); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
	})
}

// A second Close was an error, or a panic; a Send after Close was nil, and its message lost, or a
// panic.
func TestOldCloseTwice(t *testing.T) {
	eachWay(t, []int{-1, 1}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		must(t, s.Close())
		must(t, s.Close())
		if err := s.Send(1); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if err := r.Receive(new(int)); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
	})
}

// A message of the wrong type left the decoder in its middle: all later ones were garbage.
func TestOldWrongTypeIsGarbage(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		for _, v := range []any{map[string]any{"N": "text", "More": []int{1, 2}}, []string{"a"}, "x"} {
			must(t, out.Send(v))
			must(t, out.Send(7))
			if err := in.Receive(new(struct{ N int })); err == nil {
				t.Errorf("%v was received as a struct with a number", v)
			}
			receives(t, in, 7)
		}
	})
}

// One channel that nobody read stopped four of five others.
func TestOldUnreadStopsOthers(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		unread, _ := top(t, near, far)
		go func() {
			for unread.Send(strings.Repeat("x", 1000)) == nil {
			}
		}()
		synctest.Wait()
		for range 20 {
			s, r := top(t, near, far)
			must(t, s.Send(1))
			receives(t, r, 1)
		}
	})
}

// A channel that nobody accepted stopped all new ones, and what they had sent.
func TestOldUnacceptedStopsOthers(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		for range 10 {
			s, err := near.NewSendChannel()
			must(t, err)
			must(t, s.Send("nobody accepts it"))
		}
		r, s := Pipe()
		must(t, out.Send(withEnd{S: s}))
		var m withEnd
		must(t, in.Receive(&m))
		must(t, m.S.Send(1))
		receives(t, r, 1)
	})
}

// The tables never shrank.
func TestOldTablesGrow(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		for i := range 1000 {
			r, s := Pipe()
			must(t, out.Send(withEnd{S: s}))
			var m withEnd
			must(t, in.Receive(&m))
			must(t, m.S.Send(i))
			must(t, m.S.Close())
			receives(t, r, i)
			if err := r.Receive(new(int)); err != io.EOF {
				t.Fatalf("the end is %v, want io.EOF", err)
			}
		}
		synctest.Wait()
		if n := tables(near, far); n != 2 {
			t.Errorf("%d entries in tables, want 2", n)
		}
	})
}

// A stream stopped for good after 65,536 bytes; a message of 20,000 ended the other program.
func TestOldWindowIsNeverOpened(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		for _, n := range []int{16_300, 20_000, 70_000, 1 << 20} {
			out, in := top(t, near, far)
			go func() {
				for range 5 {
					if err := out.Send(strings.Repeat("x", n)); err != nil {
						t.Errorf("Send: %v", err)
					}
				}
			}()
			for range 5 {
				var got string
				if err := in.Receive(&got); err != nil || len(got) != n {
					t.Fatalf("received %d bytes, %v; want %d", len(got), err, n)
				}
			}
		}
	})
}

// The session said goodbye, and what was accepted and not yet handed over was lost.
func TestOldGoodbyeLosesChannels(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		for i := range 20 {
			s, err := near.NewSendChannel()
			must(t, err)
			must(t, s.Send(i))
			must(t, s.Close())
		}
		done := make(chan error)
		go func() { done <- near.Shutdown(ctx) }()
		<-near.Draining()
		came := map[int]bool{}
		for range 20 {
			r, err := far.WaitReceiveChannel()
			must(t, err)
			var i int
			must(t, r.Receive(&i))
			came[i] = true
			if err := r.Receive(new(int)); err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
		}
		must(t, <-done)
		if len(came) != 20 {
			t.Errorf("%d channels came, want 20", len(came))
		}
	})
}

// An end that was received and sent on in the same session was looked up in the wrong table.
func TestOldSentBackIsAnother(t *testing.T) {
	eachWay(t, []int{-1}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		back, home := top(t, far, near)
		got := carry(t, out, in, withEnd{S: s, R: r})
		got = carry(t, back, home, got)
		got = carry(t, out, in, got)
		must(t, got.S.Send(1))
		receives(t, got.R, 1)
	})
}

// Only structs and maps with text as keys could be sent; unexported fields panicked, and so did
// times, or were lost; what was sent by value could not be received into a pointer.
func TestOldValues(t *testing.T) {
	type when struct {
		At     time.Time
		After  time.Duration
		Ptr    *time.Time
		ByInt  map[int]string
		hidden int
	}
	now := time.Unix(1e9, 7).UTC()
	for _, w := range []int{0, 1} {
		within(t, func(t *testing.T) {
			s, r := ways[w].make(t, -1)
			must(t, s.Send(when{now, time.Second, &now, map[int]string{1: "one"}, 5}))
			var got *when
			must(t, r.Receive(&got))
			if !got.At.Equal(now) || got.After != time.Second || got.Ptr == nil || !got.Ptr.Equal(now) || got.ByInt[1] != "one" || got.hidden != 0 {
				t.Errorf("received %+v", got)
			}
			for _, v := range []any{1, "text", []int{1}, nil} {
				must(t, s.Send(v))
				must(t, r.Receive(new(any)))
			}
		})
	}
}

// In memory sender and receiver shared what was sent.
func TestOldSharedMemory(t *testing.T) {
	r, s := Pipe()
	sent := []int{1, 2}
	must(t, s.Send(sent))
	sent[0] = 9
	var got []int
	must(t, r.Receive(&got))
	if got[0] != 1 {
		t.Error("what was sent has changed on its way")
	}
}

// A receiver could refuse nothing, and a sender end with no error.
func TestOldNoErrors(t *testing.T) {
	eachWay(t, []int{-1}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		r2, s2 := Pipe()
		must(t, s2.(ContextSender).CloseWithError(errors.New("why")))
		if err := r2.Receive(new(int)); err == nil || err.Error() != "why" {
			t.Errorf("the end is %v", err)
		}
		r.Cancel(errors.New("no more"))
		<-s.Done()
		if err := s.Send(1); err == nil || !strings.Contains(err.Error(), "no more") {
			t.Errorf("Send to who takes no more: %v", err)
		}
	})
}

// Closing a sender closed the session.
func TestOldCloseEndsSession(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, _ := top(t, near, far)
		must(t, out.Close())
		synctest.Wait()
		s, r := top(t, near, far)
		must(t, s.Send(1))
		receives(t, r, 1)
	})
}

// There was no Select, no time limit, no channel with a capacity: concurrent use of all of them.
func TestOldNeverHad(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if err := out.Send(i); err != nil {
					t.Errorf("Send: %v", err)
				}
			})
		}
		sum := 0
		for range 10 {
			var n int
			if i, err := Select(ctx, OnReceive(in, &n)); i != 0 || err != nil {
				t.Fatalf("Select: %d, %v", i, err)
			}
			sum += n
		}
		all.Wait()
		if sum != 45 {
			t.Errorf("the sum is %d, want 45", sum)
		}
	})
}
