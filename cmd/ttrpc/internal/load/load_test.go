// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// A job calls a function.
type job struct {
	n    int64
	call func(ctx context.Context, n int64) (error, bool)
}

func (j *job) Prepare(n int64) error                  { j.n = n; return nil }
func (j *job) Call(ctx context.Context) (error, bool) { return j.call(ctx, j.n) }

func jobs(call func(ctx context.Context, n int64) (error, bool)) func(int) Job {
	return func(int) Job { return &job{call: call} }
}

// near tells whether a time in microseconds is what it should be, as exactly as histograms are.
func near(us float64, want time.Duration) bool {
	w := float64(want.Microseconds())
	return us >= w*0.998 && us <= w*1.002
}

// TestRate has a server that stops for a second: with a rate all calls that were due meanwhile
// count, and without one a single call.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		server := jobs(func(context.Context, int64) (error, bool) {
			if at := time.Since(began); at >= 2*time.Second && at < 3*time.Second {
				time.Sleep(3*time.Second - at)
			}
			time.Sleep(time.Millisecond)
			return nil, false
		})
		r := (&Plan{Callers: 1, Duration: 10 * time.Second, Rate: 100, NewJob: server}).Run(t.Context())
		// 1000 were due, of which 100 during the second; the last of these waited for some
		// milliseconds only, and the calls that they delayed too.
		if r.Calls != 1000 || r.Missed != 0 {
			t.Errorf("B167: %d calls were made and %d missed, want 1000 and none", r.Calls, r.Missed)
		}
		s := r.Latency.Summary()
		if !near(s.P50, time.Millisecond) || s.P90 < 50e3 || s.P90 > 400e3 || !near(s.Max, 1001*time.Millisecond) {
			t.Errorf("B167: latency is %+v", s)
		}
		if s := r.Service.Summary(); !near(s.P99, time.Millisecond) || !near(s.Max, 1001*time.Millisecond) {
			t.Errorf("B167: from when they were made it is %+v", s)
		}
		began = time.Now()
		r = (&Plan{Callers: 1, Duration: 10 * time.Second, NewJob: server}).Run(t.Context())
		if s := r.Latency.Summary(); r.Calls != 9000 || !near(s.P999, time.Millisecond) || !near(s.Max, 1001*time.Millisecond) || r.Service.Summary() != nil {
			t.Errorf("B167: without a rate %d calls take %+v", r.Calls, s)
		}
	})
}

// TestMissed has a server that is slower than the rate: what has not begun is told.
func TestMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := (&Plan{Callers: 2, Duration: 10 * time.Second, Rate: 100, NewJob: jobs(func(context.Context, int64) (error, bool) {
			time.Sleep(100 * time.Millisecond)
			return nil, false
		})}).Run(t.Context())
		if r.Calls != 200 || r.Missed != 800 {
			t.Errorf("B167: %d calls were made and %d missed, want 200 and 800", r.Calls, r.Missed)
		}
		if s := r.Latency.Summary(); !near(s.Min, 100*time.Millisecond) || s.Max < 8e6 {
			t.Errorf("B167: latency is %+v", s)
		}
	})
}

// TestEnds has loads end by number, time, interrupt and a fatal error.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most, now atomic.Int64
		seen := map[int64]bool{}
		took := time.Millisecond
		server := jobs(func(ctx context.Context, n int64) (error, bool) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			select {
			case <-time.After(took):
			case <-ctx.Done():
				return ctx.Err(), false
			}
			return nil, false
		})
		prepared := func(caller int) Job { return &noting{server(caller), seen} }
		r := (&Plan{Callers: 1, Calls: 50, NewJob: prepared}).Run(t.Context())
		if r.Calls != 50 || len(seen) != 50 || !seen[0] || !seen[49] || r.Took != 50*time.Millisecond {
			t.Errorf("B167: 50 calls are %d in %v: %v", r.Calls, r.Took, seen)
		}
		r = (&Plan{Callers: 8, Calls: 80, NewJob: server}).Run(t.Context())
		if r.Calls != 80 || most.Load() != 8 || r.Took != 10*time.Millisecond {
			t.Errorf("B167: 8 callers make %d calls, %d at once, in %v", r.Calls, most.Load(), r.Took)
		}
		r = (&Plan{Callers: 1, Calls: 1000, Duration: 100 * time.Millisecond, NewJob: server}).Run(t.Context())
		if r.Calls != 100 {
			t.Errorf("B167: in 100 ms there are %d calls", r.Calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Microsecond)
		defer cancel()
		r = (&Plan{Callers: 1, Duration: time.Hour, NewJob: server}).Run(ctx)
		if r.Calls != 10 || r.Failures.Count() != 0 || r.Fatal != nil {
			t.Errorf("B167: until it was interrupted there are %d calls, %v, %v", r.Calls, r.Failures.All(), r.Fatal)
		}
		if r.Unfinished != 1 {
			t.Errorf("B167: %d calls are unfinished", r.Unfinished)
		}
		took = time.Hour
		r = (&Plan{Callers: 3, Duration: time.Second, NewJob: server}).Run(t.Context())
		if r.Calls != 0 || r.Unfinished != 3 || r.Took != time.Second+Grace {
			t.Errorf("B167: of a server that hangs: %d calls, %d unfinished, after %v", r.Calls, r.Unfinished, r.Took)
		}
		lost := errors.New("lost")
		r = (&Plan{Callers: 2, Duration: time.Hour, Rate: 10, NewJob: jobs(func(_ context.Context, n int64) (error, bool) {
			if n == 5 {
				return lost, true
			}
			return nil, false
		})}).Run(t.Context())
		if r.Fatal != lost || r.Calls != 6 || r.Missed != 0 {
			t.Errorf("B167: after the loss: %v, %d calls, %d missed", r.Fatal, r.Calls, r.Missed)
		}
	})
}

// A noting job notes the numbers of its calls.
type noting struct {
	Job
	seen map[int64]bool
}

func (j *noting) Prepare(n int64) error { j.seen[n] = true; return j.Job.Prepare(n) }

// TestFailures counts by code, and times only what succeeds.
func TestFailures(t *testing.T) {
	r := (&Plan{Callers: 4, Calls: 100, NewJob: jobs(func(_ context.Context, n int64) (error, bool) {
		switch {
		case n%10 == 0:
			return status.Error(codes.NotFound, "none"), false
		case n%4 == 1:
			return status.Error(codes.Aborted, "no"), false
		}
		return nil, false
	})}).Run(t.Context())
	all := r.Failures.All()
	if r.Calls != 100 || r.Latency.Count() != 65 || len(all) != 2 || all[0].Code != codes.Aborted || all[0].Count != 25 || all[1].Count != 10 {
		t.Errorf("B167: %d calls, of which %d good, and %v", r.Calls, r.Latency.Count(), all)
	}
	bad := errors.New("cannot be made")
	r = (&Plan{Callers: 1, Calls: 5, NewJob: func(int) Job { return unprepared{bad} }}).Run(t.Context())
	if r.Fatal != bad || r.Calls != 0 {
		t.Errorf("B167: a call that cannot be prepared: %v, %d", r.Fatal, r.Calls)
	}
}

type unprepared struct{ err error }

func (u unprepared) Prepare(int64) error              { return u.err }
func (unprepared) Call(context.Context) (error, bool) { return nil, false }

// TestTimes holds bounds of what can be told.
func TestTimes(t *testing.T) {
	times := NewTimes()
	if times.Summary() != nil {
		t.Error("B167: no times have a summary")
	}
	times.Add(0)
	times.Add(-1)
	times.Add(3 * time.Hour)
	s := times.Summary()
	if times.Count() != 3 || s.Min > 0.2 || s.Max < 3.59e9 {
		t.Errorf("B167: %+v", s)
	}
}
