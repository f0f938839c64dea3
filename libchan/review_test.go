// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/containerd/ttrpc"
)

// What a review of the design found, and the tests that hold it:
//
//	release by cancel loses channels    TestCancelKeepsWhatWasTaken, TestUntakenIsReleased
//	directions end apart                TestReviewDirectionsEndApart, TestCloseWithError, TestCancelCause
//	a session before it is used         TestOverNamesWhatIsMissing
//	isolation is a number               TestIsolation, BenchmarkIsolation
//	rendezvous and contexts             TestCapacity, TestContexts, TestSelect
//	ownership                           TestOwnership, TestOwnChannel, TestGiveAwayWhileUsed
//	a first message                     TestReviewFirstMessage, TestHostileMessages
//	caps are gentle                     TestUnclaimedEndsWait, TestBufferedTogether, TestBacklogWaits
//	ids run out                         TestReviewIDsRunOut (of the root), TestRedial
//	references in every codec           TestReviewReferences
//	sent back, an end is spliced        TestReviewSpliced, TestOldSentBackIsAnother
//	weight                              TestIdleChannelsHaveNoGoroutine, BenchmarkIdle
//	people also expect                  TestReady, TestDroppedEnds, TestNames, TestShutdown

// A caller that has ended its direction is still answered, and the other way round.
func TestReviewDirectionsEndApart(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := pipe(-1)
		must(t, out.Send(withEnd{S: s}))
		must(t, out.Close())
		var got withEnd
		must(t, in.Receive(&got))
		if err := in.Receive(&got); err != io.EOF {
			t.Errorf("the end is %v, want io.EOF", err)
		}
		for i := range 5 {
			must(t, got.S.Send(i))
			receives(t, r, i)
		}
		must(t, got.S.(ContextSender).CloseWithError(errors.New("done")))
		if err := r.Receive(new(int)); err == nil || err.Error() != "done" {
			t.Errorf("the end is %v, want done", err)
		}
	})
}

// L14: 10,000 channels are open at once, and all of them work.
func TestTenThousandChannels(t *testing.T) {
	within(t, func(t *testing.T) {
		limits := ttrpc.Limits{Queue: ttrpc.StreamQueue{ConnectionBytes: 256 << 20}} // room for each
		server := newServer(t, ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(limits))
		begun := make(chan *Session, 1)
		must(t, Register(server, WithHandler(func(s *Session) { begun <- s })))
		near, err := Over(pair(t, server, WithSessions(), ttrpc.WithClientLimits(limits)))
		must(t, err)
		far := <-begun
		out, in := top(t, near, far)
		type end struct {
			s ContextSender
			r Receiver
		}
		var all []end
		for i := range manyChannels {
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{R: r})
			must(t, s.Send(i))
			receives(t, got.R, i)
			all = append(all, end{s, got.R})
		}
		for i, e := range all {
			must(t, e.s.Send(i))
			receives(t, e.r, i)
			must(t, e.s.Close())
			if err := e.r.Receive(new(int)); err != io.EOF {
				t.Fatalf("channel %d: the end is %v, want io.EOF", i, err)
			}
		}
		synctest.Wait()
		if n := tables(near, far); n != 2 {
			t.Errorf("%d entries in tables, want 2", n)
		}
	})
}

// A first message comes with the request up to 4 KiB, and by itself above that.
func TestReviewFirstMessage(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, far, near)
		for n := maxFirst - 20; n < maxFirst+20; n++ {
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{S: s})
			must(t, got.S.Send(strings.Repeat("x", n)))
			must(t, got.S.Close())
			receives(t, r, strings.Repeat("x", n))
			if err := r.Receive(new(string)); err != io.EOF {
				t.Errorf("%d bytes: the end is %v, want io.EOF", n, err)
			}
		}
	})
}

// Each codec carries references, and each message stands alone.
func TestReviewReferences(t *testing.T) {
	for _, c := range builtin {
		within(t, func(t *testing.T) {
			near, far := sessions(t, WithCodec(c))
			out, in := top(t, near, far)
			for range 3 {
				r, s := pipe(-1)
				var got withEnd
				if c == Protobuf {
					must(t, out.Send(With(wrapperspb.Bool(true), s)))
					must(t, in.Receive(With(new(wrapperspb.BoolValue), &got.S)))
				} else {
					got = carry(t, out, in, withEnd{S: s})
				}
				must(t, got.S.Send(wrapperspb.Int64(7)))
				var n wrapperspb.Int64Value
				must(t, r.Receive(&n))
				if n.Value != 7 {
					t.Errorf("%s: received %d, want 7", c.Name(), n.Value)
				}
			}
		})
	}
}

// An end that is sent back to where it came from works, and ends with the middle.
func TestReviewSpliced(t *testing.T) {
	for _, which := range []string{"near", "far"} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			s, r := ways[0].make(t, -1)
			there, in := top(t, near, far)
			back, home := top(t, far, near)
			got := carry(t, there, in, withEnd{R: r})
			got = carry(t, back, home, got)
			must(t, s.Send(1))
			receives(t, got.R, 1)
			if which == "near" {
				near.Close()
			} else {
				far.Close()
			}
			synctest.Wait()
			if err := got.R.Receive(new(int)); !errors.Is(err, ErrSessionEnded) {
				t.Errorf("Receive without the middle: %v, want ErrSessionEnded", err)
			}
			if err := s.Send(2); !errors.Is(err, ErrSessionEnded) {
				t.Errorf("Send without the middle: %v, want ErrSessionEnded", err)
			}
		})
	}
}
