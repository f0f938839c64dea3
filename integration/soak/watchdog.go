// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"
)

// A watchdog looks for what takes too long. No call of a soak has a deadline, or
// waits for anything, that is farther away than a fraction of the grace, so that
// who reaches it hangs.
type watchdog struct {
	grace  time.Duration
	onHang func(what string)
	done   chan struct{}

	mu    sync.Mutex
	slots map[*slot]struct{}
}

// A slot is what somebody is doing.
type slot struct {
	dog *watchdog

	mu      sync.Mutex
	where   string
	what    string
	started time.Time // zero if nothing
}

func newWatchdog(grace time.Duration) *watchdog {
	return &watchdog{grace: grace, done: make(chan struct{}), slots: make(map[*slot]struct{})}
}

func (w *watchdog) slot() *slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &slot{dog: w}
	w.slots[s] = struct{}{}
	return s
}

func (s *slot) free() {
	s.dog.mu.Lock()
	defer s.dog.mu.Unlock()
	delete(s.dog.slots, s)
}

func (s *slot) begin(where, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.where, s.what, s.started = where, what, time.Now()
}

func (s *slot) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = time.Time{}
}

// overdue returns what takes longer than the grace.
func (s *slot) overdue(grace time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started.IsZero() || time.Since(s.started) < grace {
		return ""
	}
	return fmt.Sprintf("%s, %s: under way for %s", s.where, s.what, time.Since(s.started).Round(time.Second))
}

// start has it look now and then, until stop. onHang does not return.
func (w *watchdog) start(onHang func(what string)) {
	w.onHang = onHang
	go w.run()
}

func (w *watchdog) run() {
	ticks := time.NewTicker(w.grace / 10)
	defer ticks.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-ticks.C:
		}
		w.mu.Lock()
		for s := range w.slots {
			if what := s.overdue(w.grace); what != "" {
				w.onHang(what)
			}
		}
		w.mu.Unlock()
	}
}

// stop does not return if something hangs.
func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.done)
}
