// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"runtime"
	"time"
)

// onGarbage has lapse called with what held leads to once nobody holds it any more, on a
// goroutine of its own. In a bubble of testing/synctest nothing is called: the collector is
// outside, from where nobody may touch a channel of the bubble's.
func onGarbage[T, A any](held *T, lapse func(A), leadsTo A) {
	if !inBubble() {
		runtime.AddCleanup(held, func(leadsTo A) { go lapse(leadsTo) }, leadsTo)
	}
}

// inBubble tells whether it is called in a bubble. Only there time has no monotonic reading.
func inBubble() bool {
	now := time.Now()
	return now == now.Round(0)
}
