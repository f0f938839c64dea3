// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations: each power of two has as many buckets as parts. Any number
// of goroutines may add to it at once.
type histogram struct {
	counts [40 * parts]atomic.Uint64
}

const (
	partBits = 7
	parts    = 1 << partBits
)

func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	shift := max(bits.Len64(n)-partBits-1, 0)
	return min(shift*parts+int(n>>shift), 40*parts-1)
}

func (h *histogram) add(d time.Duration) { h.counts[bucket(d)].Add(1) }

// quantile returns the duration that a part of all did not exceed, down to the
// beginning of its bucket.
func (h *histogram) quantile(part float64) float64 {
	var all uint64
	for i := range h.counts {
		all += h.counts[i].Load()
	}
	rank := max(uint64(math.Ceil(part*float64(all))), 1)
	for i := range h.counts {
		n := h.counts[i].Load()
		if rank <= n {
			shift := max(i/parts-1, 0)
			return float64(uint64(i-shift*parts) << shift)
		}
		rank -= n
	}
	return 0
}

func (m metrics) addQuantiles(h *histogram) {
	m["p50-ns"], m["p99-ns"], m["p99.9-ns"] = h.quantile(.5), h.quantile(.99), h.quantile(.999)
}
