// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package grpc_test

import (
	"os"
	"runtime"
	"time"
)

// A stand is how much there is.
type stand struct{ goroutines, files int }

// standing counts goroutines and, where /proc tells, descriptors.
func standing() stand {
	entries, _ := os.ReadDir("/proc/self/fd")
	return stand{runtime.NumGoroutine(), len(entries)}
}

// await waits until there is no more than that, for half a minute at most. Nothing signals
// that a goroutine has ended.
func (s stand) await() (now stand) {
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		if now = standing(); now.goroutines <= s.goroutines && now.files <= s.files {
			break
		}
	}
	return now
}
