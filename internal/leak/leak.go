// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leak tells whether tests left goroutines or file descriptors behind.
package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	// patience bounds the wait for what is on its way out: a goroutine that
	// has closed the channel its test waited for is still there for a moment,
	// and a server keeps idle goroutines for a while.
	patience = 20 * time.Second

	// interval is how often that is looked at. Nothing signals that a
	// goroutine has ended, so there is no event to wait for.
	interval = 5 * time.Millisecond
)

// permanent are parts of the stacks of goroutines that, once started, live as
// long as the program.
var permanent = []string{
	"os/signal.signal_recv",
	"runtime.ensureSigM",
}

// Check runs the tests of m and returns the code to exit with, for a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }
//
// If they pass but leave goroutines, or, where /proc tells, file descriptors
// behind, it prints those and returns 1.
func Check(m *testing.M) int {
	before := take()
	if code := m.Run(); code != 0 {
		return code // a test that failed may have left anything
	}
	left := before.await(patience)
	if len(left) == 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "leak: the tests passed, but left behind:\n\n%s\n", strings.Join(left, "\n\n"))
	return 1
}

// A snapshot is what there was at some time.
type snapshot struct {
	goroutines map[string]string // stacks by "goroutine ID"
	files      map[string]string // what is open, by descriptor
}

func take() snapshot { return snapshot{goroutines(), files()} }

// await waits until nothing is left that was not there before, and returns
// what still is when limit has passed.
func (s snapshot) await(limit time.Duration) []string {
	for deadline := time.Now().Add(limit); ; time.Sleep(interval) {
		left := s.left(take())
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// left returns what is in now but was not before.
func (s snapshot) left(now snapshot) []string {
	var left []string
	for id, stack := range now.goroutines {
		if _, ok := s.goroutines[id]; !ok {
			left = append(left, stack)
		}
	}
	for fd, target := range now.files {
		if s.files[fd] != target {
			left = append(left, "file descriptor "+fd+": "+target)
		}
	}
	return left
}

// goroutines returns the stacks of all goroutines but permanent ones.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := make(map[string]string)
stacks:
	for _, stack := range strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n") {
		for _, p := range permanent {
			if strings.Contains(stack, p) {
				continue stacks
			}
		}
		id, _, _ := strings.Cut(stack, " [") // "goroutine 7 [running]:"
		all[id] = stack
	}
	return all
}

// files returns what is open, except what the runtime opens once for itself.
// It returns nil where there is no /proc.
func files() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := make(map[string]string)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // that of ReadDir itself
		}
		if target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			all[e.Name()] = target
		}
	}
	return all
}
