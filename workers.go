// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

import (
	"context"
	"runtime/pprof"
	"sync"
	"time"
)

// workersLinger is how long goroutines that nothing needed are kept.
const workersLinger = time.Second

// A workers runs handlers on goroutines that it uses again: a fresh one spends
// much of a short call on growing its stack. There are as many as calls run
// at once; those that were idle all through workersLinger end.
type workers struct {
	run func(*serverCall)

	mu      sync.Mutex
	idle    []chan *serverCall // a stack, so that the same few stay busy
	unused  int                // how many were idle ever since the last trim
	timer   *time.Timer        // trims; made when first needed
	timed   bool
	stopped bool
}

// start runs call on an idle goroutine, or a new one.
func (w *workers) start(call *serverCall) {
	w.mu.Lock()
	n := len(w.idle)
	if n == 0 {
		w.mu.Unlock()
		go w.work(call)
		return
	}
	worker := w.idle[n-1]
	w.idle = w.idle[:n-1]
	w.unused = min(w.unused, n-1)
	w.mu.Unlock()
	worker <- call
}

func (w *workers) work(call *serverCall) {
	next := make(chan *serverCall, 1)
	var labelled context.Context // whose labels the goroutine has
	for ; call != nil; call = <-next {
		if labelled != call.base {
			labelled = call.base
			call.conn.resetLabels()
		}
		w.run(call)
		call.conn.resetLabels()
		if !w.rest(next) {
			return
		}
	}
}

// runAlone runs a call on a goroutine of its own, which has just begun.
func (s *Server) runAlone(call *serverCall) {
	call.conn.resetLabels()
	s.dispatcher.run(call)
}

// resetLabels gives the goroutine the profiler labels of Serve's context. It has others from
// the goroutine that began it, or a handler has left it some.
func (c *conn) resetLabels() {
	if c.base != nil {
		pprof.SetGoroutineLabels(c.base)
	}
}

// rest puts a worker among the idle ones.
func (w *workers) rest(worker chan *serverCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	w.idle = append(w.idle, worker)
	if !w.timed {
		w.timed = true
		w.unused = 0
		if w.timer == nil {
			w.timer = time.AfterFunc(workersLinger, w.trim)
		} else {
			w.timer.Reset(workersLinger)
		}
	}
	return true
}

// trim ends the workers that were idle since the last time, and runs again as
// long as any are left.
func (w *workers) trim() {
	w.mu.Lock()
	for _, worker := range w.idle[:w.unused] {
		close(worker)
	}
	rest := copy(w.idle, w.idle[w.unused:])
	clear(w.idle[rest:])
	w.idle = w.idle[:rest]
	w.unused = len(w.idle)
	if w.timed = w.unused > 0 && !w.stopped; w.timed {
		w.timer.Reset(workersLinger)
	} else {
		w.idle = nil
	}
	w.mu.Unlock()
}

// stop ends all idle workers, and the others when their calls have ended.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopped = true
	w.unused = len(w.idle)
	for _, worker := range w.idle {
		close(worker)
	}
	w.idle, w.unused = nil, 0
	if w.timed {
		w.timer.Stop()
	}
	w.mu.Unlock()
}
