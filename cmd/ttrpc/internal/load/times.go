// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Times is a histogram of times, from 100 ns to an hour, exact to a thousandth. Its methods
// may be called concurrently.
type Times struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

const (
	least = int64(100 * time.Nanosecond)
	most  = int64(time.Hour)
)

// NewTimes returns one without any.
func NewTimes() *Times { return &Times{h: hdrhistogram.New(least, most, 3)} }

// Add adds a time. More than an hour is an hour.
func (t *Times) Add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.h.RecordValue(min(max(int64(d), least), most)) // which is in its range, and so no error
}

// Count returns how many there are.
func (t *Times) Count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.h.TotalCount()
}

// A Summary is what is told of times, in microseconds.
type Summary struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Summary returns what is told of them, or nil if there are none.
func (t *Times) Summary() *Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h.TotalCount() == 0 {
		return nil
	}
	us := func(ns int64) float64 { return float64(ns/10) / 100 }
	at := func(p float64) float64 { return us(min(t.h.ValueAtPercentile(p), t.h.Max())) }
	return &Summary{us(t.h.Min()), us(int64(t.h.Mean())), at(50), at(90), at(99), at(99.9), us(t.h.Max())}
}

// Failures counts errors by their code. Its methods may be called concurrently.
type Failures struct {
	mu     sync.Mutex
	byCode map[codes.Code]*Failure
}

// A Failure is how often calls have ended with a code, and the first such error.
type Failure struct {
	Code  codes.Code
	Count int64
	First error
}

// Add adds an error.
func (f *Failures) Add(err error) {
	code := status.Code(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byCode == nil {
		f.byCode = make(map[codes.Code]*Failure)
	}
	one := f.byCode[code]
	if one == nil {
		one = &Failure{Code: code, First: err}
		f.byCode[code] = one
	}
	one.Count++
}

// Count returns how many there are.
func (f *Failures) Count() (n int64) {
	for _, one := range f.All() {
		n += one.Count
	}
	return n
}

// All returns them, the most frequent first.
func (f *Failures) All() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Failure, 0, len(f.byCode))
	for _, one := range f.byCode {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code))
	})
	return all
}
