// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"os"
	"strconv"
	"testing"
)

// timesVariable says how many times as much tests try of what has no end: random programs,
// schedules of faults, and the bytes at which these happen.
const timesVariable = "TTRPC_TIMES"

// Times returns how many times as much to try: 1 unless TTRPC_TIMES says otherwise.
func Times(t testing.TB) int {
	t.Helper()
	s := os.Getenv(timesVariable)
	if s == "" {
		return 1
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, and not a number from 1 on", timesVariable, s)
	}
	return n
}
