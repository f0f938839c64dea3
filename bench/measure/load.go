// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"sync"
	"sync/atomic"
	"time"
)

// A load is callers that do the same again and again, each with a function of its own.
type load struct {
	callers   int
	rate      int // calls of all of them in a second, or 0 if none waits
	lasts     time.Duration
	latencies bool
	do        func(caller int) func() error
}

// A loaded bench is what a load did while it was measured.
type loaded struct {
	calls   float64
	elapsed time.Duration
	used    census  // of all processes,
	usedFor float64 // by as many calls
	all     float64 // calls, those before and after as well
	hist    histogram
}

// run puts a load on a bench. The first caller keeps the time: what is measured begins
// and ends when a call of its ends, while the others go on. So a few long calls are
// timed exactly, and many callers while they are at full speed.
func (b *bench) run(l *load) *loaded {
	var (
		r               = new(loaded)
		n               atomic.Int64
		recording, stop atomic.Bool
		others          sync.WaitGroup
	)
	once := func(f func() error, pace func()) {
		pace()
		if !recording.Load() {
			Must(f())
		} else {
			began := time.Now()
			Must(f())
			r.hist.add(time.Since(began))
		}
		n.Add(1)
	}
	first, pace := l.do(0), l.pace(0)
	for i := range l.callers - 1 {
		f, pace := l.do(i+1), l.pace(i+1)
		others.Go(func() {
			for !stop.Load() {
				once(f, pace)
			}
		})
	}
	repeat := func(lasts time.Duration) {
		var over atomic.Bool
		defer time.AfterFunc(lasts, func() { over.Store(true) }).Stop()
		for once(first, pace); !over.Load(); {
			once(first, pace)
		}
	}
	repeat(l.lasts / 4) // warms up
	before, at, start := b.census(), n.Load(), time.Now()
	recording.Store(l.latencies)
	repeat(l.lasts)
	r.elapsed, r.calls = time.Since(start), float64(n.Load()-at)
	// The others went on while the processes were asked.
	r.used = b.census().minus(before)
	r.usedFor = float64(n.Load() - at)
	stop.Store(true)
	others.Wait()
	r.all = float64(n.Load())
	return r
}

// pace returns what a caller waits with before each call. Who is late does not wait.
func (l *load) pace(caller int) func() {
	if l.rate == 0 {
		return func() {}
	}
	between := time.Second / time.Duration(l.rate)
	next := time.Now().Add(between * time.Duration(caller))
	return func() {
		time.Sleep(time.Until(next))
		next = next.Add(between * time.Duration(l.callers))
	}
}

// metrics are what each call took, if each counts for many.
func (r *loaded) metrics(times int) metrics {
	calls, usedFor := r.calls*float64(times), r.usedFor*float64(times)
	return metrics{
		"n": calls, "all": r.all * float64(times),
		"ns": float64(r.elapsed) / calls, "cpu-ns": float64(r.used.CPU) / usedFor,
		"allocs": float64(r.used.Mallocs) / usedFor, "bytes": float64(r.used.TotalAlloc) / usedFor,
	}
}
