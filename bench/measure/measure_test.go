// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"testing"
	"time"
)

// TestBuckets wants buckets to follow each other and to be narrow.
func TestBuckets(t *testing.T) {
	last := 0
	for d := time.Duration(1); d < time.Hour; d += 1 + d/100 {
		b := bucket(d)
		if b < last {
			t.Fatalf("the bucket of %v is %d, after %d", d, b, last)
		}
		last = b
		h := new(histogram)
		h.add(d)
		if got := h.quantile(.5); got > float64(d) || got < float64(d)*(parts-1)/parts-1 {
			t.Errorf("%v is told as %v", d, time.Duration(got))
		}
	}
	if got := bucket(math.MaxInt64); got != len(new(histogram).counts)-1 {
		t.Errorf("the longest time is in bucket %d", got)
	}
}

func TestQuantiles(t *testing.T) {
	h := new(histogram)
	for i := range 50 { // up to 255 each has a bucket of its own
		h.add(time.Duration(i + 1))
	}
	for part, want := range map[float64]float64{0: 1, .01: 1, .5: 25, .98: 49, .99: 50, 1: 50} {
		if got := h.quantile(part); got != want {
			t.Errorf("%v: got %v, want %v", part, got, want)
		}
	}
	if got := new(histogram).quantile(.5); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}

// TestLoad wants the calls that are counted to be those that were made.
func TestLoad(t *testing.T) {
	b := new(bench)
	for _, l := range []*load{
		{callers: 1, lasts: 10 * time.Millisecond},
		{callers: 3, lasts: 10 * time.Millisecond, latencies: true},
		{callers: 2, rate: 1000, lasts: 10 * time.Millisecond},
	} {
		made := make([]int, l.callers)
		l.do = func(caller int) func() error {
			return func() error { made[caller]++; return nil }
		}
		r := b.run(l)
		sum := 0
		for _, n := range made {
			sum += n
		}
		if r.all != float64(sum) {
			t.Errorf("%d calls were made, %v counted", sum, r.all)
		}
		if r.calls <= 0 || r.calls > r.usedFor || r.usedFor > r.all {
			t.Errorf("measured %v calls of %v, used CPU for %v", r.calls, r.all, r.usedFor)
		}
		if recorded := r.hist.quantile(.5) > 0; recorded != l.latencies {
			t.Errorf("latencies: %v, recorded: %v", l.latencies, recorded)
		}
	}
}

// TestAllocations wants measuring to allocate nothing for each call.
func TestAllocations(t *testing.T) {
	nothing := func(int) func() error { return func() error { return nil } }
	r := new(bench).run(&load{callers: 1, lasts: 20 * time.Millisecond, latencies: true, do: nothing})
	if per := r.metrics(1)["allocs"]; per > .01 {
		t.Errorf("%v allocations a call", per)
	}
}
