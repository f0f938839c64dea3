// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// L8: range, with the error at the end if there is one.
func TestAll(t *testing.T) {
	eachWay(t, []int{-1, 0}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		go func() {
			s.Send(1)
			s.Send("no number")
			s.Send(2)
			s.CloseWithError(errors.New("the end"))
		}()
		var got []int
		var wrong []error
		for v, err := range From[int](r).All(ctx) {
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			got = append(got, v)
		}
		if !slices.Equal(got, []int{1, 2}) || len(wrong) != 2 || wrong[1].Error() != "the end" {
			t.Errorf("L8: ranged over %v and the errors %v", got, wrong)
		}
	})
	within(t, func(t *testing.T) {
		r, s := Make[int](5)
		must(t, s.Send(ctx, 1))
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var last error
		for _, err := range r.All(short) {
			last = err
		}
		if last != context.DeadlineExceeded {
			t.Errorf("L8: the range within a second ends with %v", last)
		}
		must(t, s.Close())
		for range r.All(ctx) {
			t.Error("L8: something is received after the end")
		}
	})
}

// L8: bridges to and from chan T.
func TestChan(t *testing.T) {
	eachWay(t, []int{-1, 0, 3}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		in, out := From[int](r).Chan(ctx), Of[int](s).Chan(ctx)
		go func() {
			for i := range 100 {
				out <- i
			}
			close(out)
		}()
		next := 0
		for v := range in {
			if v != next {
				t.Fatalf("L8: received %d, want %d", v, next)
			}
			next++
		}
		if next != 100 || r.Cause() != io.EOF {
			t.Errorf("L8: %d values came, and the end is %v", next, r.Cause())
		}
	})
	within(t, func(t *testing.T) {
		r, s := Make[int](0)
		short, cancel := context.WithCancel(ctx)
		in, out := r.Chan(short), s.Chan(short)
		out <- 1
		if v := <-in; v != 1 {
			t.Errorf("L8: received %d, want 1", v)
		}
		r.Cancel(errors.New("enough"))
		for range 10 { // dropped
			out <- 2
		}
		cancel()
		if _, ok := <-in; ok {
			t.Error("L8: something is received after Cancel")
		}
	})
}

// Review "Select takes exactly one": of what can be received, whatever the channels are.
func TestSelect(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		_, in := top(t, near, far)
		out2, in2 := top(t, near, far)
		r, s := pipe(0)
		r2, s2 := pipe(0)
		got := carry(t, out2, in2, withEnd{S: s2})
		var n, m int
		var text string
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if i, err := Select(short, OnReceive(in, &n), nil, OnReceive(RecvChan[int]{}.Receiver(), &n), OnReceive(r, &m)); i != -1 || err != context.DeadlineExceeded {
			t.Errorf("L8: Select within a second: %d, %v", i, err)
		}
		sent := map[string]int{}
		for _, end := range []Sender{s, got.S} {
			go func() {
				for i := range 50 {
					if err := end.Send(fmt.Sprint(i)); err != nil {
						t.Errorf("Send: %v", err)
					}
				}
				end.Close()
			}()
		}
		ended := 0
		for ended < 2 {
			i, err := Select(ctx, OnReceive(in, &n), OnReceive(r, &text), OnReceive(r2, &text))
			switch {
			case i == 0:
				t.Fatal("L8: something came from a channel on which nothing was sent")
			case err == io.EOF:
				ended++
				if i == 1 {
					r, _ = pipe(0)
				} else {
					r2, _ = pipe(0)
				}
			case err != nil:
				t.Fatal(err)
			default:
				if key := fmt.Sprint(i); text != fmt.Sprint(sent[key]) {
					t.Fatalf("L8: case %d received %s, want %d", i, text, sent[key])
				} else {
					sent[key]++
				}
			}
		}
		if sent["1"] != 50 || sent["2"] != 50 {
			t.Errorf("L8: received %v, want 50 of each", sent)
		}
		if i, err := Select(ctx, OnReceive(over(t), &n)); i != 0 || err != io.EOF {
			t.Errorf("L8: Select of what has ended: %d, %v", i, err)
		}
	})
}

// over returns a channel that has ended.
func over(t *testing.T) Receiver {
	r, s := pipe(0)
	must(t, s.Close())
	return r
}

// Review "people also expect": Ready, Len and Done tell without taking.
func TestReady(t *testing.T) {
	eachWay(t, []int{-1, 2}, func(t *testing.T, _ int, s ContextSender, r ContextReceiver) {
		ready := r.Ready()
		synctest.Wait()
		select {
		case <-ready:
			t.Error("ready before anything was sent")
		default:
		}
		must(t, s.Send(1))
		<-ready
		if r.Len() != 1 {
			t.Errorf("Len is %d, want 1", r.Len())
		}
		receives(t, r, 1)
		done := r.Done()
		must(t, s.Close())
		<-r.Ready()
		<-done
		if err := r.Cause(); err != io.EOF {
			t.Errorf("Cause is %v, want io.EOF", err)
		}
	})
}

// A request with a return channel, as short as it should be.
func TestCallAndServe(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		served := make(chan error)
		go func() {
			served <- Serve(ctx, in, func(_ context.Context, n int) (string, error) {
				if n < 0 {
					return "", status.Error(codes.InvalidArgument, "negative")
				}
				return fmt.Sprint(n), nil
			})
		}()
		for i := range 100 {
			if s, err := Call[int, string](ctx, out, i); s != fmt.Sprint(i) || err != nil {
				t.Fatalf("Call: %q, %v", s, err)
			}
		}
		if _, err := Call[int, string](ctx, out, -1); status.Code(err) != codes.InvalidArgument {
			t.Errorf("Call: %v, want the handler's InvalidArgument", err)
		}
		must(t, out.Send("no request"))
		if s, err := Call[int, string](ctx, out, 7); s != "7" || err != nil {
			t.Errorf("Call after a message that is no request: %q, %v", s, err)
		}
		must(t, out.Close())
		must(t, <-served)
		synctest.Wait()
		if n := tables(near, far); n != 0 {
			t.Errorf("%d entries in tables are left", n)
		}
	})
}

// A caller that gives up has its handler's answer return why.
func TestCallGivenUp(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := Call[int, string](short, out, 1); err != context.DeadlineExceeded {
			t.Errorf("Call within a second: %v, want DeadlineExceeded", err)
		}
		var req Request[int, string]
		must(t, in.Receive(&req))
		_ = req.Ret.Send(ctx, "too late")
		<-req.Ret.Sender().Done()
		if err := req.Ret.Send(ctx, "too late"); status.Code(err) != codes.DeadlineExceeded && err == nil {
			t.Errorf("an answer to who has given up: %v", err)
		}
	})
}

// L2: an end that a message did not have is none, as a typed one, too: to use it is an error.
func TestTypedOfNil(t *testing.T) {
	var m struct {
		S Sender
		R Receiver
	}
	const none = "is none"
	s, r := Of[int](m.S), From[int](m.R)
	if err := s.Send(ctx, 1); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("L2: Send: %v", err)
	}
	if _, err := r.Receive(ctx); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("L2: Receive: %v", err)
	}
	if _, err := Call[int, int](ctx, m.S, 1); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("L2: Call: %v", err)
	}
	if err := Serve(ctx, m.R, func(context.Context, int) (int, error) { return 0, nil }); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("L2: Serve: %v", err)
	}
}

// L7: a peer whose requests are slow to serve waits, and does not fill the memory.
func TestServeWaits(t *testing.T) {
	within(t, func(t *testing.T) {
		r, w := Pipe()
		open := make(chan struct{})
		var running atomic.Int32
		served := make(chan error)
		go func() {
			served <- Serve(ctx, r, func(context.Context, int) (int, error) {
				running.Add(1)
				<-open
				return 0, nil
			})
		}()
		var calls sync.WaitGroup
		for i := range maxServed + 100 {
			calls.Go(func() {
				if _, err := Call[int, int](ctx, w, i); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := running.Load(); n != maxServed {
			t.Errorf("L7: %d handlers run, want %d", n, maxServed)
		}
		close(open)
		calls.Wait()
		must(t, w.Close())
		must(t, <-served)
	})
}
