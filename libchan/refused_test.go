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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// holdReports has a session say nothing on its control stream until the function is called.
func holdReports(s *Session) (release func()) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.flushing = true
	return func() { s.control.flush(s.over) }
}

// L6, L7: a receiver that takes a message and then no more has taken it, in whatever order the end of
// the stream and its report arrive.
func TestTakenBeforeCancel(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := pipe(0)
		got := carry(t, out, in, withEnd{S: s})
		release := holdReports(near)
		result := make(chan error, 1)
		go func() { result <- got.S.Send("one") }()
		receives(t, r, "one")
		r.Cancel(errors.New("no more"))
		synctest.Wait()
		if len(result) > 0 {
			t.Errorf("L7: Send returns %v before it is told", <-result)
		}
		release()
		if err := <-result; err != nil {
			t.Errorf("L7: Send of what was taken returns %v", err)
		}
		if err := got.S.Send("two"); err == nil || err.Error() != "no more" {
			t.Errorf("L6: the next Send returns %v", err)
		}
	})
}

// L2: what waits to be received when a receiver takes no more is let go of, in whatever order the end of
// the stream and its report arrive; so is what was sent by a channel that is refused.
func TestEndsOfUntakenMessages(t *testing.T) {
	for _, taken := range []bool{false, true} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			out, in := top(t, near, far)
			r, s := pipe(-1)
			got := carry(t, out, in, withEnd{S: s})
			must(t, got.S.Send("with the request that opens the stream"))
			must(t, r.Receive(new(string)))
			release := holdReports(near)
			answers, ret := pipe(-1)
			must(t, got.S.Send(ret))
			var back Sender
			if taken {
				must(t, r.Receive(&back))
			}
			r.Cancel(errors.New("no more"))
			synctest.Wait()
			for i := 0; got.S.(*sender).Cause() == nil && i < 10; i++ { // notices the end of the stream
				go got.S.Send("x")
				synctest.Wait()
			}
			release()
			if taken {
				must(t, back.Send("kept"))
				receives(t, answers, "kept")
				return
			}
			if err := answers.Receive(new(string)); err != ErrDropped {
				t.Errorf("L2: the end of what nobody took is %v, want ErrDropped", err)
			}
		})
	}
}

// L2: a channel that is refused is certainly not received from.
func TestRefusedChannelReleases(t *testing.T) {
	within(t, func(t *testing.T) {
		near, _ := sessions(t, WithNames(func(name string) error {
			return status.Error(codes.PermissionDenied, "not "+name)
		}))
		s, err := near.OpenChannel(ctx, "here")
		must(t, err)
		_, err = Call[string, string](ctx, s, "hello")
		if err != ErrDropped && status.Code(err) != codes.PermissionDenied {
			t.Errorf("L2: a call by a refused channel returns %v", err)
		}
		if err := s.Send("x"); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "not here") {
			t.Errorf("L2: Send by a refused channel returns %v", err)
		}
		synctest.Wait()
		if n := tables(near); n != 0 {
			t.Errorf("L2: %d entries in tables are left", n)
		}
	})
}

// L2: the same of one that finds no room at the other side.
func TestRefusedForWantOfHandlers(t *testing.T) {
	within(t, func(t *testing.T) {
		server := newServer(t, ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Handlers: 1}))
		must(t, Register(server))
		near, err := Over(pair(t, server, WithSessions()))
		must(t, err)
		s, err := near.NewSendChannel()
		must(t, err)
		if _, err = Call[string, string](ctx, s, "hello"); err == nil {
			t.Error("L2: a call by a refused channel succeeds")
		}
		synctest.Wait()
		if n := tables(near); n != 0 {
			t.Errorf("L2: %d entries in tables are left", n)
		}
	})
}

// L6: who holds an end that was never used learns that the other end takes no more.
func TestDoneOfUnusedEnd(t *testing.T) {
	within(t, func(t *testing.T) {
		near, far := sessions(t)
		out, in := top(t, near, far)
		r, s := pipe(0)
		got := carry(t, out, in, withEnd{S: s}).S.(ContextSender)
		done := got.Done()
		synctest.Wait()
		if got.Cause() != nil {
			t.Errorf("L6: the cause is %v before there is one", got.Cause())
		}
		r.Cancel(errors.New("no more"))
		<-done
		if err := got.Cause(); err == nil || err.Error() != "no more" {
			t.Errorf("L6: the cause is %v", err)
		}
		must(t, out.Close())
		if err := in.Receive(new(string)); err != io.EOF {
			t.Errorf("L6: the end is %v, want io.EOF", err)
		}
		must(t, near.Shutdown(ctx))
	})
}
