// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
)

// runConnections has many connections open at once, and makes a call on each, twice.
func runConnections(o *options, r *report) error {
	return runLoad(o, r, 10_000, func(l *load) error {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if need := uint64(l.n + 100); limit.Cur < need {
			return fmt.Errorf("%d connections need %d open files, of which a process may have %d: ulimit -n", l.n, need, limit.Cur)
		}
		clients := make([]*ttrpc.Client, l.n)
		l.each("connection opened, with a call", atWork, func(i int, rng *rand.Rand) error {
			c, err := l.dial()
			if err != nil {
				return err
			}
			clients[i] = c
			return l.call(c, l.order(rng))
		})
		if err := l.price("connections"); err != nil {
			return err
		}
		l.each("call when all are open", atWork, func(i int, rng *rand.Rand) error {
			if clients[i] == nil {
				return fmt.Errorf("there is no connection")
			}
			return l.call(clients[i], l.order(rng))
		})
		for _, c := range clients {
			if c != nil {
				l.failIf(hangUp(c))
			}
		}
		return nil
	})
}

// runStreams has many streams open at once on one connection: each gets a message
// through before all are open, and one after.
func runStreams(o *options, r *report) error {
	return runLoad(o, r, 100_000, func(l *load) error {
		c, err := l.dial()
		if err != nil {
			return err
		}
		talks := make([]*talk, l.n)
		l.each("stream opened, with a message", atWork, func(i int, rng *rand.Rand) (err error) {
			order := l.order(rng)
			order.Count = 2
			a := attempt{link: &link{client: c}}
			if talks[i], err = a.open(context.Background(), "Chat", chats, order); err == nil {
				err = talks[i].exchange(0)
			}
			return err
		})
		if err := l.price("streams"); err != nil {
			return err
		}
		l.each("message when all are open, and the end", atWork, func(i int, _ *rand.Rand) error {
			err := talks[i].exchange(1)
			if err == nil {
				err = talks[i].end(io.EOF)
			}
			if err == nil {
				l.got.add(talks[i].order.Call)
			}
			return err
		})
		return hangUp(c)
	})
}

// exchange sends a message and receives one.
func (t *talk) exchange(i int) error {
	if t.ClientStream == nil {
		return fmt.Errorf("there is no stream")
	}
	if err := t.because(t.send(i, i+1)); err != nil {
		return err
	}
	return t.receive(i, i+1)
}

// runCalls makes many calls on one connection, by different numbers of callers.
func runCalls(o *options, r *report) error {
	return runLoad(o, r, 1_000_000, func(l *load) error {
		c, err := l.dial()
		if err != nil {
			return err
		}
		for _, callers := range []int{1, 64, 1000} {
			start := time.Now()
			l.each("call", callers, func(_ int, rng *rand.Rand) error { return l.call(c, l.order(rng)) })
			if l.baseline == nil {
				continue
			}
			each := time.Since(start) / time.Duration(l.n)
			l.note(fmt.Sprintf("%s, %d calls by %d callers: %v each", l.mode, l.n, callers, each),
				map[string]any{"mode": l.mode, "n": l.n, "callers": callers, "nsEach": each.Nanoseconds()})
		}
		return hangUp(c)
	})
}

// runConcurrent has many calls in their handlers at once, on one connection.
func runConcurrent(o *options, r *report) error {
	return runLoad(o, r, 100_000, func(l *load) error {
		c, err := l.dial()
		if err != nil {
			return err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.each("call among many", l.n, func(_ int, rng *rand.Rand) error {
				order := l.order(rng)
				order.Hold = true
				return l.call(c, order)
			})
		}()
		if err := l.awaitHeld(done); err != nil {
			return err
		}
		if err := l.price("calls"); err != nil {
			return err
		}
		if _, err := l.host.do(command{Do: "release", Server: "steady"}); err != nil {
			return err
		}
		<-done
		return hangUp(c)
	})
}

// awaitHeld waits until all calls are in their handlers, or have failed.
func (l *load) awaitHeld(done <-chan struct{}) error {
	for {
		r, err := l.host.do(command{Do: "state", Server: "steady"})
		if err != nil || r.Held == int64(l.n) {
			return err
		}
		select {
		case <-done:
			return fmt.Errorf("%d of %d calls have reached their handlers at once", r.Held, l.n)
		case <-time.After(pollInterval):
		}
	}
}
