// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build go1.25 && unix

package ttrpc

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/containerd/ttrpc/internal/testkit"
)

// progModes are the ways to run programs.
var progModes = []struct {
	name   string
	mode   progMode
	kernel bool
	count  int // how many random ones TestPrograms runs, times testkit.Times
}{
	{"Pair", progPair, false, 100},
	{"RawClient", progRawClient, false, 50},
	{"RawServer", progRawServer, false, 50},
	{"PairOnSockets", progPair, true, 24},
	{"RawClientOnSockets", progRawClient, true, 12},
	{"RawServerOnSockets", progRawServer, true, 13},
}

// TestPrograms runs random programs. Each is named after its seed, so that one
// can be run again: go test -run TestPrograms/Pair/17.
func TestPrograms(t *testing.T) {
	times := testkit.Times(t)
	for _, m := range progModes {
		t.Run(m.name, func(t *testing.T) {
			for seed := range times * m.count {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { runProgramIn(t, m.mode, m.kernel, randomProgram(seed)) })
			}
		})
	}
}

// randomProgram returns the program of a seed.
func randomProgram(seed int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, 20+r.IntN(400))
	burst := r.IntN(256)
	for i := range b {
		b[i] = byte(r.Uint32())
		if r.IntN(256) > burst {
			b[i] &^= progBurst
		}
	}
	return b
}

// runProgramIn runs a program, over memory conns in a bubble, and holds that no
// goroutine is left, and no file descriptor.
func runProgramIn(t *testing.T, mode progMode, kernel bool, code []byte) {
	if kernel {
		goroutines, files := runtime.NumGoroutine(), countFiles()
		w := newProgWorld(t, mode, kernel, code)
		runProgram(w)
		if !w.eventually(func() bool { return runtime.NumGoroutine() <= goroutines && countFiles() <= files }) {
			t.Errorf("there were %d goroutines and %d files, and now are %d and %d\n%s", goroutines, files, runtime.NumGoroutine(), countFiles(), testkit.Stacks())
		}
		return
	}
	synctest.Test(t, func(t *testing.T) { runProgram(newProgWorld(t, mode, kernel, code)) })
}

// countFiles counts the open file descriptors, where /proc tells.
func countFiles() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}

// FuzzProgramPair runs programs on our client and our server.
func FuzzProgramPair(f *testing.F) { fuzzPrograms(f, progPair, false) }

// FuzzProgramRawClient runs programs on a raw client and our server.
func FuzzProgramRawClient(f *testing.F) { fuzzPrograms(f, progRawClient, false) }

// FuzzProgramRawServer runs programs on our client and a raw server.
func FuzzProgramRawServer(f *testing.F) { fuzzPrograms(f, progRawServer, false) }

// FuzzProgramSockets runs programs over kernel sockets.
func FuzzProgramSockets(f *testing.F) {
	for seed := range 20 {
		f.Add(byte(seed), randomProgram(seed))
	}
	f.Fuzz(func(t *testing.T, mode byte, code []byte) {
		runProgramIn(t, progMode(mode%3), true, code)
	})
}

func fuzzPrograms(f *testing.F, mode progMode, kernel bool) {
	for seed := range 20 {
		f.Add(randomProgram(seed))
	}
	f.Fuzz(func(t *testing.T, code []byte) { runProgramIn(t, mode, kernel, code) })
}
