// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Review "release by cancel loses channels": an end in a message that was taken stays good
// when the channel that carried it is given up; ends in later messages are released.
func TestCancelKeepsWhatWasTaken(t *testing.T) {
	for _, toClient := range []bool{false, true} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			if toClient {
				near, far = far, near
			}
			out, in := top(t, near, far)
			var kept [3]ContextReceiver
			for i := range kept {
				r, s := pipe(-1)
				kept[i] = r
				must(t, out.Send(withEnd{S: s}))
			}
			var first withEnd
			must(t, in.Receive(&first))
			in.Cancel(errors.New("enough"))
			synctest.Wait()
			for i := 1; i < len(kept); i++ {
				if err := kept[i].Receive(new(int)); !errors.Is(err, ErrDropped) {
					t.Errorf("the channel in message %d, which was not taken: %v, want ErrDropped", i, err)
				}
			}
			must(t, first.S.Send(5))
			receives(t, kept[0], 5)
			must(t, first.S.Close())
			if err := kept[0].Receive(new(int)); err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			synctest.Wait()
			if n := tables(near, far); n != 0 {
				t.Errorf("%d entries in tables are left", n)
			}
		})
	}
}

// L2: a reference that no field takes, and one in a message that does not fit, is released.
func TestUntakenIsReleased(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		for _, into := range []any{new(struct{ N int }), new(int), new(struct{ R Sender })} {
			r, s := pipe(-1)
			r2, s2 := pipe(0)
			must(t, out.Send(withEnd{S: s, R: r2}))
			err := in.Receive(into)
			if _, fits := into.(*struct{ N int }); fits != (err == nil) {
				t.Errorf("received into %T: %v", into, err)
			}
			if err := r.Receive(new(int)); !errors.Is(err, ErrDropped) {
				t.Errorf("L2: the receiver of a sender that no field took: %v, want ErrDropped", err)
			}
			if err := s2.Send(1); !errors.Is(err, ErrDropped) {
				t.Errorf("L2: the sender to a receiver that no field took: %v, want ErrDropped", err)
			}
		}
	})
}

// L2: at any depth, in fields, maps, slices and interfaces, and typed.
func TestDepth(t *testing.T) {
	type deep struct {
		List  []SendChan[int]
		ByKey map[string]RecvChan[string]
		Any   any
		In    *struct{ S Sender }
		None  SendChan[int]
	}
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r1, s1 := Make[int](0)
		r2, s2 := Make[string](2)
		r3, s3 := Pipe()
		r4, s4 := Pipe()
		must(t, out.Send(deep{[]SendChan[int]{s1}, map[string]RecvChan[string]{"k": r2}, map[string]any{"s": s3}, &struct{ S Sender }{s4}, SendChan[int]{}}))
		var got deep
		must(t, in.Receive(&got))
		go got.List[0].Send(ctx, 1)
		if v, err := r1.Receive(ctx); v != 1 || err != nil {
			t.Errorf("in a slice: %v, %v", v, err)
		}
		must(t, s2.Send(ctx, "two"))
		if v, err := got.ByKey["k"].Receive(ctx); v != "two" || err != nil {
			t.Errorf("in a map: %v, %v", v, err)
		}
		must(t, got.Any.(map[string]any)["s"].(Sender).Send("three"))
		receives(t, r3, "three")
		must(t, got.In.S.Send("four"))
		receives(t, r4, "four")
		if err := got.None.Send(ctx, 1); err == nil {
			t.Error("Send by an end that is none succeeds")
		}
	})
}

// Review "ownership": of two that send the same end at once one wins, and what was certainly
// not sent stays good.
func TestOwnership(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := pipe(-1)
		var wg sync.WaitGroup
		var sent, refused int
		var mu sync.Mutex
		for range 10 {
			wg.Go(func() {
				err := out.Send(withEnd{S: s})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					sent++
				case errors.Is(err, ErrGivenAway):
					refused++
				default:
					t.Errorf("Send: %v", err)
				}
			})
		}
		wg.Wait()
		if sent != 1 || refused != 9 {
			t.Errorf("an end was sent %d times and refused %d times, want 1 and 9", sent, refused)
		}
		var got withEnd
		must(t, in.Receive(&got))
		must(t, got.S.Send(1))
		receives(t, r, 1)

		// Not sent: the channel has no room, is closed, the message cannot be encoded.
		r2, s2 := pipe(-1)
		full, fullOut := pipe(1)
		must(t, fullOut.Send(1))
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := fullOut.SendContext(short, withEnd{S: s2}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("SendContext without room: %v", err)
		}
		full.Cancel(nil)
		if err := fullOut.Send(withEnd{S: s2}); err == nil {
			t.Error("Send to who takes no more succeeds")
		}
		if err := out.Send(struct {
			S Sender
			F func()
		}{s2, func() {}}); err == nil {
			t.Error("a func was sent")
		}
		if err := out.Send([]Sender{s2, s2}); !errors.Is(err, ErrGivenAway) {
			t.Errorf("an end twice in one message: %v, want ErrGivenAway", err)
		}
		must(t, s2.Send("still good"))
		receives(t, r2, "still good")
	})
}

// An end that somebody uses at this moment can be given away: who waits is told.
func TestGiveAwayWhileUsed(t *testing.T) {
	eachWay(t, []int{-1, 0, 2}, func(t *testing.T, n int, s ContextSender, r ContextReceiver) {
		carrier, out := Pipe()
		result := make(chan error)
		go func() { result <- r.Receive(new(int)) }()
		synctest.Wait()
		must(t, out.Send(withEnd{R: r}))
		if err := <-result; !errors.Is(err, ErrGivenAway) {
			t.Errorf("a Receive that waited: %v, want ErrGivenAway", err)
		}
		go func() {
			for {
				if err := s.Send(7); err != nil {
					result <- err
					return
				}
			}
		}()
		synctest.Wait()
		must(t, out.Send(withEnd{S: s}))
		if err := <-result; !errors.Is(err, ErrGivenAway) {
			t.Errorf("a Send that waited: %v, want ErrGivenAway", err)
		}
		var gotR, gotS withEnd
		must(t, carrier.Receive(&gotR))
		must(t, carrier.Receive(&gotS))
		receives(t, gotR.R, 7)
		gotR.R.(ContextReceiver).Cancel(errors.New("enough"))
		synctest.Wait()
		if err := gotS.S.Send(7); err == nil {
			t.Error("Send to who takes no more succeeds")
		}
	})
}

// Review "caps are gentle": a channel that carries 1,000 ends which nobody has claimed waits
// with its next, and nothing else does.
func TestUnclaimedEndsWait(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		other, otherIn := top(t, near, far)
		var receivers []ContextReceiver
		sent := 0
		go func() {
			for range 1500 {
				r, s := pipe(1)
				receivers = append(receivers, r)
				if err := out.Send(withEnd{S: s}); err != nil {
					t.Errorf("Send: %v", err)
				}
				sent++
			}
			out.Close()
		}()
		synctest.Wait()
		if sent > maxUnclaimed {
			t.Errorf("%d ends were sent that nobody has claimed, want at most %d", sent, maxUnclaimed)
		}
		r, s := pipe(1)
		got := carry(t, other, otherIn, withEnd{S: s})
		must(t, got.S.Send(1))
		receives(t, r, 1)
		for range 1500 {
			var m withEnd
			must(t, in.Receive(&m))
			must(t, m.S.Close())
		}
		for _, r := range receivers {
			if err := r.Receive(new(int)); err != io.EOF {
				t.Fatalf("the end is %v, want io.EOF", err)
			}
		}
	})
}

// Review "caps are gentle": what waits for the peer to attach has a bound for all channels of
// a session together, beside a message each.
func TestBufferedTogether(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		big := strings.Repeat("x", 100_000)
		var feeds []ContextSender
		for range 50 {
			r, s := pipe(-1)
			feeds = append(feeds, s)
			must(t, out.Send(withEnd{R: r}))
			go func() {
				for range 3 {
					s.Send(big)
				}
				s.Close()
			}()
		}
		synctest.Wait()
		near.mu.Lock()
		n := near.buffered
		near.mu.Unlock()
		if n > maxBuffered+50*110_000 || n < maxBuffered {
			t.Errorf("%d bytes wait to be attached, the bound is %d and a message each", n, maxBuffered)
		}
		for range feeds {
			var m withEnd
			must(t, in.Receive(&m))
			for range 3 {
				receives(t, m.R, big)
			}
			if err := m.R.Receive(new(string)); err != io.EOF {
				t.Fatalf("the end is %v, want io.EOF", err)
			}
		}
		synctest.Wait()
		if near.buffered != 0 {
			t.Errorf("%d bytes count that do not wait any more", near.buffered)
		}
	})
}

// L7 and review "isolation": a channel that nobody reads stops its own sender and no other.
func TestUnreadChannelsAreAlone(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		for range 100 {
			s, _ := top(t, near, far)
			go func() {
				for s.Send(strings.Repeat("x", 1000)) == nil {
				}
			}()
		}
		synctest.Wait()
		s, r := top(t, near, far)
		for i := range 1000 {
			must(t, s.Send(i))
			receives(t, r, i)
		}
	})
}

// Review "weight": an open, idle channel has no goroutine at either end, whoever opened it.
func TestIdleChannelsHaveNoGoroutine(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		time.Sleep(2 * time.Second)
		before := runtime.NumGoroutine()
		var ends []any
		for i := range 100 {
			r, s := pipe(-1)
			r2, s2 := pipe(-1)
			got := carry(t, out, in, withEnd{s, r2})
			must(t, got.S.Send(i))
			receives(t, r, i)
			must(t, s2.Send(i))
			receives(t, got.R, i)
			ends = append(ends, r, s2, got)
		}
		time.Sleep(2 * time.Second)
		if after := runtime.NumGoroutine(); after > before+20 { // the runtime's own come and go
			t.Errorf("%d goroutines with 200 idle channels, %d without", after, before)
		}
		runtime.KeepAlive(ends)
	})
}

// L5: a chain stops its first sender when its last receiver stops.
func TestChainBackpressure(t *testing.T) {
	for hops := 1; hops <= 3; hops++ {
		within(t, func(t *testing.T) {
			r, s := pipe(0)
			var end Receiver = r
			for range hops {
				near, far := sessions(t)
				out, in := top(t, near, far)
				end = carry(t, out, in, withEnd{R: end}).R
			}
			sent := 0
			go func() {
				for s.Send(sent) == nil {
					sent++
				}
			}()
			for i := range 5 {
				synctest.Wait()
				if sent != i {
					t.Fatalf("L5: %d hops: %d messages count as received, want %d", hops, sent, i)
				}
				receives(t, end, i)
			}
			end.(ContextReceiver).Cancel(status.Error(codes.Aborted, "no more"))
			synctest.Wait()
			if err := s.Send(1); status.Code(err) != codes.Aborted {
				t.Errorf("L5: %d hops: Send returns %v, want Aborted", hops, err)
			}
		})
	}
}

// L5: the end of the middle is the end of the channel, at both sides.
func TestMiddleGone(t *testing.T) {
	for which := range 2 {
		within(t, func(t *testing.T) {
			a, b1 := sessions(t)
			b2, c := sessions(t)
			out, in := top(t, a, b1)
			out2, in2 := top(t, b2, c)
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{R: r})
			got = carry(t, out2, in2, got)
			must(t, s.Send(1))
			receives(t, got.R, 1)
			synctest.Wait()
			[]*Session{b1, b2}[which].Close()
			synctest.Wait()
			if err := s.Send(1); err == nil {
				t.Error("L5: Send succeeds without a middle")
			}
			if err := got.R.Receive(new(int)); err == nil || err == io.EOF {
				t.Errorf("L5: Receive without a middle: %v, want an error", err)
			}
		})
	}
}

// Copy between sessions, and with a Raw: nothing is decoded, ends in messages are passed on,
// and what the last receiver has not taken is not taken.
func TestCopy(t *testing.T) {
	within(t, func(t *testing.T) {
		a, b1 := sessions(t, WithCodec(renamed{Msgpack, "unknown to the middle"}))
		b2, c := sessions(t)
		out, in := top(t, a, b1)
		in2, out2 := pipe(0)
		done := make(chan error)
		go func() {
			n, err := Copy(out2, in)
			out2.Close()
			done <- fmt.Errorf("%d, %v", n, err)
		}()
		out3, in3 := top(t, b2, c)
		got := carry(t, out3, in3, withEnd{R: in2})
		r, s := pipe(-1)
		must(t, out.Send(withEnd{S: s}))
		must(t, out.Close())
		var raw Raw
		must(t, got.R.Receive(&raw))
		if raw.Codec != "unknown to the middle" || raw.Len() != 1 {
			t.Errorf("L5: a message encoded as %q, with %d ends", raw.Codec, raw.Len())
		}
		last, lastOut := Pipe()
		raw.Codec = "msgpack"
		must(t, lastOut.Send(&raw))
		var m withEnd
		must(t, last.Receive(&m))
		must(t, m.S.Send("through four hands"))
		receives(t, r, "through four hands")
		if err := <-done; err.Error() != "1, <nil>" {
			t.Errorf("Copy: %v, want 1, nil", err)
		}
	})
}

// own are ends that are none of this package's.
type own struct {
	ch     chan any
	closed chan struct{}
}

func (o *own) Send(v any) error { o.ch <- v; return nil }
func (o *own) Close() error     { close(o.closed); return nil }

type ownReceiver struct{ values []int }

func (o *ownReceiver) Receive(v any) error {
	if len(o.values) == 0 {
		return io.EOF
	}
	*v.(*any) = o.values[0]
	o.values = o.values[1:]
	return nil
}

// L2: any Sender and Receiver can be sent.
func TestForeignEnds(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		o := &own{make(chan any), make(chan struct{})}
		got := carry(t, out, in, withEnd{S: o, R: &ownReceiver{[]int{1, 2}}})
		go got.S.Send("x")
		if v := <-o.ch; v != "x" {
			t.Errorf("a Sender of another package got %v", v)
		}
		must(t, got.S.Close())
		<-o.closed
		receives(t, got.R, 1)
		receives(t, got.R, 2)
		if err := got.R.Receive(new(int)); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
	})
}
