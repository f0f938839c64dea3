// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package load makes calls, one after the other or at a rate, and measures how long they take.
package load

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Plan says what load to make.
type Plan struct {
	Callers int // how many calls there are at once, at most

	// The load ends with the first of these that is not zero. What has begun is waited for,
	// but no longer than [Grace] after the duration.
	Calls    int64
	Duration time.Duration

	// Rate is how many calls are due each second. If it is 0, each caller calls again as
	// soon as it has its answer.
	Rate float64

	// NewJob makes what a caller does.
	NewJob func(caller int) Job

	// Began is called when a call has begun, by many at once; may be nil.
	Began func()
}

// A Job is what one caller does, again and again. Its methods are not called concurrently.
type Job interface {
	// Prepare gets ready for call number n, of all callers', from 0 on. It is not measured.
	// An error ends the load.
	Prepare(n int64) error

	// Call makes the call. An error that is fatal ends the load: none after it can be better.
	Call(ctx context.Context) (err error, fatal bool)
}

// Grace is how long calls that are under way at the end of a load's duration are waited for.
const Grace = 10 * time.Second

// A Result is what was measured.
type Result struct {
	Took   time.Duration
	Calls  int64 // that have ended
	Missed int64 // that were due and had not begun when the time was over

	// Unfinished is how many calls had not ended when they were no longer waited for.
	Unfinished int64

	// Latency is how long calls took that have succeeded: with a rate from when they were due, and
	// else from when they were made. Service is, with a rate, from when they were made.
	Latency, Service *Times

	Failures Failures

	// Fatal is the error that has ended the load before its time, or nil.
	Fatal error
}

// Run makes the load. When the context ends so does the load; what was measured until then
// counts, but for the calls that were under way.
func (p *Plan) Run(ctx context.Context) *Result {
	r := &running{Plan: p, result: Result{Latency: NewTimes(), Service: NewTimes()}, began: time.Now()}
	ctx, r.stop = context.WithCancel(ctx)
	defer r.stop()
	if p.Duration > 0 {
		r.until = r.began.Add(p.Duration)
		defer time.AfterFunc(p.Duration+Grace, r.stop).Stop()
	}
	var all sync.WaitGroup
	for caller := range p.Callers {
		all.Go(func() { r.call(ctx, p.NewJob(caller)) })
	}
	all.Wait()
	r.result.Took = time.Since(r.began)
	r.result.Calls = r.result.Latency.Count() + r.result.Failures.Count()
	r.result.Missed, r.result.Unfinished = r.missed(), r.begun.Load()-r.result.Calls
	return &r.result
}

type running struct {
	*Plan
	began, until time.Time // until is zero if only the number ends the load
	stop         context.CancelFunc
	next, begun  atomic.Int64

	mu     sync.Mutex // for Fatal
	result Result
}

// call is what each caller does.
func (r *running) call(ctx context.Context, job Job) {
	for ctx.Err() == nil {
		n := r.next.Add(1) - 1
		if r.Calls > 0 && n >= r.Calls {
			return
		}
		if err := job.Prepare(n); err != nil {
			r.fail(err)
			return
		}
		due, ok := r.await(ctx, n)
		if !ok {
			return
		}
		r.begun.Add(1)
		if r.Began != nil {
			r.Began()
		}
		made := time.Now()
		if due.IsZero() {
			due = made
		}
		err, fatal := job.Call(ctx)
		ended := time.Now()
		switch {
		case err == nil:
			r.result.Latency.Add(ended.Sub(due))
			if r.Rate > 0 {
				r.result.Service.Add(ended.Sub(made))
			}
		case ctx.Err() != nil: // it was interrupted
			return
		default:
			r.result.Failures.Add(err)
		}
		if fatal {
			r.fail(err)
			return
		}
	}
}

// await waits until call n is due, and returns when that was; without a rate at once. It returns
// false if the time is over before.
func (r *running) await(ctx context.Context, n int64) (due time.Time, ok bool) {
	if r.Rate == 0 {
		return time.Time{}, r.until.IsZero() || time.Now().Before(r.until)
	}
	due = r.began.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
	if !r.until.IsZero() && !due.Before(r.until) {
		return due, false
	}
	if wait := time.Until(due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return due, false
		}
	}
	return due, r.until.IsZero() || time.Now().Before(r.until)
}

// missed is how many calls were due in the time that the load had, and have not begun.
func (r *running) missed() int64 {
	if r.Rate == 0 || r.until.IsZero() {
		return 0
	}
	due := int64(math.Ceil(min(r.Duration, r.result.Took).Seconds() * r.Rate))
	if r.Calls > 0 {
		due = min(due, r.Calls)
	}
	return max(due-r.begun.Load(), 0)
}

// fail ends the load.
func (r *running) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result.Fatal == nil {
		r.result.Fatal = err
	}
	r.stop()
}
