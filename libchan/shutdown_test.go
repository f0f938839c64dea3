// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25

package libchan

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"
)

// shutsDown expects that a session ends in order.
func shutsDown(t *testing.T, s *Session) {
	t.Helper()
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.Shutdown(short); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.Errorf("L6: Shutdown returns %v; %d streams count as opened, the peer says %v, and %d channels are left", err, s.streams, s.peerIdle, len(s.channels))
	}
}

// oneHandler returns a session with a server that has room for its control stream and one channel.
func oneHandler(t *testing.T) (near, far *Session) {
	begun := make(chan *Session, 1)
	server := newServer(t, ttrpc.WithServerExtensions(), ttrpc.WithServerLimits(ttrpc.Limits{Handlers: 2}))
	must(t, Register(server, WithHandler(func(s *Session) { begun <- s })))
	near, err := Over(pair(t, server, WithSessions()))
	must(t, err)
	return near, <-begun
}

// L6: a channel whose stream was refused before its handler does not keep a session from its end,
// whatever was done with it.
func TestShutdownAfterRefusal(t *testing.T) {
	for name, use := range map[string]func(*testing.T, ContextSender){
		"untouched": func(*testing.T, ContextSender) {},
		"closed":    func(t *testing.T, s ContextSender) { _ = s.Close() },
		"failed":    func(t *testing.T, s ContextSender) { _ = s.CloseWithError(errors.New("x")) },
		"called":    func(t *testing.T, s ContextSender) { _, _ = Call[string, string](ctx, s, "hello") },
		"sent": func(t *testing.T, s ContextSender) {
			for s.Send("x") == nil {
				synctest.Wait()
			}
		},
		"with an end": func(t *testing.T, s ContextSender) {
			r, given := pipe(-1)
			if s.(*sender).send(ctx, withEnd{S: given}, true) != nil {
				return
			}
			if err := r.Receive(new(string)); err != ErrDropped {
				t.Errorf("L2: the end of an end that was refused with its channel is %v, want ErrDropped", err)
			}
		},
	} {
		for _, early := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				within(t, func(t *testing.T) {
					near, far := oneHandler(t)
					kept, in := top(t, near, far)
					s, err := near.OpenChannel(ctx, "")
					must(t, err)
					if !early {
						synctest.Wait()
					}
					use(t, s)
					must(t, kept.Close())
					if err := in.Receive(new(string)); err != io.EOF {
						t.Errorf("L6: the end is %v, want io.EOF", err)
					}
					shutsDown(t, near)
				})
			})
		}
	}
}

// L6: so does one that was to be attached, by either end.
func TestShutdownAfterRefusedAttach(t *testing.T) {
	for name, use := range map[string]func(*testing.T, ContextSender, ContextReceiver){
		"closed": func(t *testing.T, s ContextSender, r ContextReceiver) { _ = s.Close(); r.Cancel(nil) },
		"used": func(t *testing.T, s ContextSender, r ContextReceiver) {
			_ = s.Send("x")
			_ = r.Receive(new(string))
			_ = s.Close()
		},
		"cancelled": func(t *testing.T, s ContextSender, r ContextReceiver) {
			_ = r.Ready()
			synctest.Wait()
			r.Cancel(nil)
			_ = s.CloseWithError(errors.New("x"))
		},
	} {
		for _, capacity := range []int{-1, 0, 3} {
			t.Run(name, func(t *testing.T) {
				within(t, func(t *testing.T) {
					near, far := oneHandler(t)
					out, in := top(t, near, far) // has the room
					back, fro := top(t, far, near)
					here, w := pipe(capacity)
					r, there := pipe(capacity)
					got := carry(t, back, fro, withEnd{S: w, R: r})
					use(t, got.S.(ContextSender), got.R.(ContextReceiver))
					synctest.Wait()
					here.Cancel(nil)
					_ = there.Close()
					must(t, out.Close())
					must(t, back.Close())
					_, _ = in.Receive(new(string)), fro.Receive(new(string))
					shutsDown(t, near)
				})
			})
		}
	}
}

// L6: whoever has shut a session down has closed it, and the other has not, also if that hears first
// that its connection drains.
func TestCauseOfShutdown(t *testing.T) {
	for _, byServer := range []bool{false, true} {
		within(t, func(t *testing.T) {
			near, far := sessions(t)
			if byServer {
				near, far = far, near
			}
			out, in := top(t, near, far)
			done := make(chan error, 1)
			go func() { done <- near.Shutdown(ctx) }()
			synctest.Wait()
			far.drain(true) // as when the connection drains
			must(t, out.Close())
			if err := in.Receive(new(string)); err != io.EOF {
				t.Fatalf("L6: the end is %v, want io.EOF", err)
			}
			must(t, <-done)
			<-far.Done()
			if near.Cause() != ErrClosed || far.Cause() != io.EOF {
				t.Errorf("L6: the causes are %v at who shut down and %v at the other, want ErrClosed and io.EOF", near.Cause(), far.Cause())
			}
		})
	}
}
