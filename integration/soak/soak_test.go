// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram is in the environment of test binaries that are to be the program, so
// that it is built as the tests are, with the race detector or without.
const asProgram = "SOAK_IS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	// The programs wait for most of their time, for what is left over to be gone.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// hangLimit is far more than any run takes.
const hangLimit = 8 * time.Minute

// soaking runs the program and returns what it wrote. All that it started, and all
// files that it made, have to be gone when it ends.
func soaking(t *testing.T, args ...string) (out string, ok bool) {
	t.Helper()
	tmp, err := os.MkdirTemp("", "s") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
	defer cancel()
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second // for processes that still hold the output
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+tmp, "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	left, readErr := os.ReadDir(tmp)
	if readErr != nil {
		t.Fatal(readErr)
	}
	for _, file := range left {
		t.Errorf("%s: left the file %s", strings.Join(args, " "), file.Name())
	}
	return b.String(), err == nil
}

func mustPass(t *testing.T, args ...string) {
	t.Helper()
	out, ok := soaking(t, args...)
	t.Logf("%s:\n%s", strings.Join(args, " "), out)
	if !ok || !strings.Contains(out, "\nPASS: ") {
		t.Errorf("%s has failed", strings.Join(args, " "))
	}
}

// TestSoak runs for as long as SOAK says in the environment, 5s by default.
func TestSoak(t *testing.T) {
	t.Parallel()
	duration := os.Getenv("SOAK")
	if duration == "" {
		duration = "5s"
	}
	mustPass(t, "-for", duration)
}

// TestSoakInOneProcess has page, spans and metrics attached, too.
func TestSoakInOneProcess(t *testing.T) {
	t.Parallel()
	mustPass(t, "-for", "2s", "-one-process", "-watched")
}

// TestSoakInOneMode has all connections in one mode: no call of the other is made.
func TestSoakInOneMode(t *testing.T) {
	for _, name := range []string{"classic", "extended"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, ok := soaking(t, "-for", "2s", "-mode", name)
			if !ok || strings.Contains(out, "\nclassic, ") != (name == "classic") ||
				strings.Contains(out, "\nextended, ") != (name == "extended") {
				t.Errorf("not well, or not in that mode:\n%s", out)
			}
		})
	}
	if out, ok := soaking(t, "-mode", "other"); ok || !strings.Contains(out, `no mode "other"`) {
		t.Errorf("a mode that there is not: %s", out)
	}
}

// TestLoads runs each load with numbers that the race detector allows.
func TestLoads(t *testing.T) {
	for name, n := range map[string]string{"connections": "300", "streams": "2000", "calls": "5000", "concurrent": "2000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustPass(t, name, "-n", n)
		})
	}
}

// TestFaults has the server do wrong, each time in another way, and sees that it is
// found.
func TestFaults(t *testing.T) {
	// For as long as it takes: the first failure ends it.
	soon := []string{"-for", "5m", "-interval", "1s", "-fail-fast"}
	tests := map[string]struct {
		args []string
		want string
	}{
		"corrupt":   {soon, "differs after byte"},
		"reorder":   {soon, ": message "},
		"lose":      {soon, "answers have arrived"},
		"answer":    {soon, "it has succeeded"},
		"hang":      {append(soon, "-grace", "20s"), "hang: steady, "},
		"goroutine": {soon, "left over: server: "},
		"fd":        {soon, "left over: server: "},
		"close":     {soon, "error: ttrpc: closed"},
		"heap":      {[]string{"-intervals", "12", "-interval", "100ms"}, "growth: server: heap grew"},
	}
	for fault := range faults {
		test, ok := tests[fault]
		if !ok {
			t.Errorf("there is no test of the fault %q", fault)
			continue
		}
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			out, ok := soaking(t, append([]string{"-fault", fault}, test.args...)...)
			if ok || !strings.Contains(out, "\nFAIL: ") || !strings.Contains(out, test.want) {
				t.Errorf("a server that %s: want a failure that says %q, got:\n%s", faults[fault], test.want, out)
			}
		})
	}
}

// TestGrowth has numbers rise, in steps and by chance.
func TestGrowth(t *testing.T) {
	series := func(heaps ...uint64) []samples {
		var all []samples
		for _, mib := range heaps {
			all = append(all, samples{"client": {Heap: mib << 20}})
		}
		return all
	}
	for name, test := range map[string]struct {
		all  []samples
		grew bool
	}{
		"level":             {series(3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3), false},
		"one high sample":   {series(3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 90), false},
		"a warm-up":         {series(1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9), false},
		"a little":          {series(30, 30, 30, 30, 31, 31, 31, 32, 32, 32, 33, 33), false},
		"rising":            {series(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), true},
		"rising by the end": {series(3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 9, 9), true},
	} {
		if grew := len(growth(test.all)) > 0; grew != test.grew {
			t.Errorf("%s: growth is found: %t, want %t", name, grew, test.grew)
		}
	}
}
