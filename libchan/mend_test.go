// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
)

// L7: what a receiver in memory has certainly not taken when it takes no more was not sent: Send
// returns the cause alone, and its ends are the sender's.
func TestCancelOfRendezvous(t *testing.T) {
	enough := errors.New("enough")
	for name, stop := range map[string]func(*receiver){
		"cancelled": func(r *receiver) { r.Cancel(enough) },
		"dropped":   func(r *receiver) { r.lapse() },
	} {
		within(t, func(t *testing.T) {
			r, s := pipe(0)
			want := enough
			if name == "dropped" {
				want = ErrDropped
			}
			answers, ret := pipe(-1)
			result := make(chan error, 1)
			go func() { result <- s.Send(withEnd{S: ret}) }()
			synctest.Wait()
			stop(r)
			if err := <-result; err != want {
				t.Errorf("L7: %s: Send of what was not taken returns %v, want %v alone", name, err, want)
			}
			if err := ret.Send("kept"); err != nil {
				t.Fatalf("L2: %s: the end in a message that was not taken: %v", name, err)
			}
			receives(t, answers, "kept")
			if n := s.Sent(); n != 0 {
				t.Errorf("L9: %s: %d messages count as sent, want 0", name, n)
			}
		})
	}
}

// L7: one whose Send has not waited for that is let go of with the receiver.
func TestCancelAfterRendezvous(t *testing.T) {
	within(t, func(t *testing.T) {
		r, s := pipe(0)
		answers, ret := pipe(-1)
		short, cancel := brief()
		defer cancel()
		if err := s.SendContext(short, withEnd{S: ret}); !errors.Is(err, ErrUnconfirmed) {
			t.Fatalf("L7: SendContext returns %v, want ErrUnconfirmed", err)
		}
		r.Cancel(nil)
		if err := answers.Receive(new(string)); err != ErrDropped {
			t.Errorf("L2: the end of what nobody took is %v, want ErrDropped", err)
		}
	})
}

// L7: a capacity that no peer would take is refused where it is made.
func TestCapacityOutOfRange(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("an int holds no such capacity")
	}
	for name, make := range map[string]func(int){
		"Make":         func(n int) { Make[string](n) },
		"BufferedPipe": func(n int) { BufferedPipe(n) },
	} {
		make(math.MaxInt32)
		for _, over := range []int{1, math.MaxInt} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("L7: %s takes a capacity over 2^31-1", name)
					}
				}()
				make(max(over, math.MaxInt32+over))
			}()
		}
	}
}

// A fullSender is one of another package that takes nothing.
type fullSender struct{ closed chan bool }

var errFull = errors.New("it is full")

func (s fullSender) Send(any) error { return errFull }
func (s fullSender) Close() error   { close(s.closed); return nil }

// L3: what a lent Sender's Send returns its user gets at once.
func TestLentSenderFails(t *testing.T) {
	within(t, func(t *testing.T) {
		lent := fullSender{make(chan bool)}
		s := sentOver[Sender](t, lent)
		must(t, s.Send("one"))
		<-lent.closed
		synctest.Wait()
		if err := s.Send("two"); err == nil || err.Error() != errFull.Error() {
			t.Errorf("L3: Send by a lent Sender that has failed returns %v, want its error", err)
		}
		of := Of[string](fullSender{make(chan bool)})
		must(t, of.Send(ctx, "one"))
		synctest.Wait()
		if err := of.Send(ctx, "two"); err != errFull {
			t.Errorf("L3: Send by Of that has failed returns %v, want its error", err)
		}
	})
}

// L7: the capacity of a channel stays what it is when its sender moves while messages wait, however
// often, and nothing is lost for that.
func TestCapacityOfMovedSender(t *testing.T) {
	for name, away := range map[string]bool{"receiver here": false, "receiver away": true} {
		for capacity := range 4 {
			t.Run(fmt.Sprintf("%s, capacity %d", name, capacity), func(t *testing.T) {
				within(t, func(t *testing.T) {
					near, far := sessions(t)
					out, in := top(t, near, far)
					back, fro := top(t, far, near)
					var r ContextReceiver
					var s ContextSender
					r, s = pipe(capacity)
					if away {
						r = carry(t, out, in, withEnd{R: r}).R.(ContextReceiver)
					}
					full := max(1, capacity)
					sent, got := 0, 0
					fill := func() {
						t.Helper()
						for {
							short, cancel := brief()
							err := s.SendContext(short, sent)
							cancel()
							if err != nil && !errors.Is(err, ErrUnconfirmed) {
								break
							}
							if sent++; sent-got > full {
								t.Fatalf("L7: %d messages are sent and not received, want at most %d", sent-got, full)
							}
						}
						if sent-got != full {
							t.Fatalf("L7: Send waits with %d messages not received, want %d", sent-got, full)
						}
					}
					for range 3 {
						fill()
						s = carry(t, out, in, withEnd{S: s}).S.(ContextSender)
						if n, taken := s.Sent(), s.Taken(); n != 0 || taken != 0 {
							t.Errorf("L9: a sender that has sent nothing says that it has sent %d, and %d are taken", n, taken)
						}
						fill()
						receives(t, r, got)
						got++
						fill()
						s = carry(t, back, fro, withEnd{S: s}).S.(ContextSender)
						receives(t, r, got)
						got++
					}
					if n := s.Taken(); n != 0 {
						t.Errorf("L9: %d count as taken of a sender that has sent nothing", n)
					}
					must(t, s.Close())
					for ; got < sent; got++ {
						receives(t, r, got)
					}
					if err := r.Receive(new(int)); err != io.EOF {
						t.Errorf("L6: the end is %v, want io.EOF", err)
					}
					must(t, out.Close())
					must(t, back.Close())
					_, _ = in.Receive(new(int)), fro.Receive(new(int))
					shutsDown(t, near)
				})
			})
		}
	}
}
