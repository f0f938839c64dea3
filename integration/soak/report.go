// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxTexts is how many different failures are told apart.
const maxTexts = 100

// A report takes what a run finds, and prints it.
type report struct {
	out   io.Writer
	json  bool
	start time.Time

	maxFailures uint64 // end a soak

	mu       sync.Mutex
	calls    uint64
	outcomes map[string]map[string]uint64 // by kind and outcome
	troubles map[string]uint64
	failures map[string]uint64
	failed   uint64
	hung     bool // what is found from now on follows from that
}

func newReport(out io.Writer, json bool) *report {
	return &report{
		out: out, json: json, start: time.Now(), maxFailures: 10_000,
		outcomes: make(map[string]map[string]uint64),
		troubles: make(map[string]uint64),
		failures: make(map[string]uint64),
	}
}

// fail takes note of something that must not be, and prints it the first time.
func (r *report) fail(what, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hung {
		return
	}
	text = what + ": " + text
	if r.failures[text] == 0 && len(r.failures) >= maxTexts {
		text = "others"
	}
	r.failed++
	if r.failures[text]++; r.failures[text] == 1 {
		r.printLocked("FAILURE "+text, map[string]any{"failure": text})
	}
}

// hang takes note of what takes too long, which is the end.
func (r *report) hang(what string) {
	r.fail("hang", what)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung = true
}

func (r *report) failIf(err error) {
	if err != nil {
		r.fail("run", err.Error())
	}
}

// hopeless tells whether there is no point in going on.
func (r *report) hopeless() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed >= r.maxFailures
}

// count takes note of an outcome that n calls had.
func (r *report) count(kind, outcome string, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes[kind] == nil {
		r.outcomes[kind] = make(map[string]uint64)
	}
	r.outcomes[kind][outcome] += n
	r.calls += n
}

func (r *report) countTrouble(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubles[what]++
}

// interval prints the samples of a quiet point.
func (r *report) interval(all samples) {
	r.mu.Lock()
	defer r.mu.Unlock()
	troubles := uint64(0)
	for _, n := range r.troubles {
		troubles += n
	}
	text := fmt.Sprintf("%s: %d calls, %d failures", r.elapsed(), r.calls, r.failed)
	if troubles > 0 {
		text += fmt.Sprintf(", %d troubles", troubles)
	}
	for _, who := range slices.Sorted(maps.Keys(all)) {
		text += fmt.Sprintf("; %s: %v", who, all[who])
	}
	r.printLocked(text, map[string]any{
		"seconds": time.Since(r.start).Seconds(), "calls": r.calls, "troubles": troubles,
		"failures": r.failed, "samples": all,
	})
}

// note prints a line of a result.
func (r *report) note(text string, values map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.printLocked(text, values)
}

func (r *report) elapsed() time.Duration { return time.Since(r.start).Round(time.Second / 10) }

func (r *report) printLocked(text string, values map[string]any) {
	if !r.json {
		fmt.Fprintln(r.out, text)
		return
	}
	if err := json.NewEncoder(r.out).Encode(values); err != nil {
		panic(err) // numbers and strings only
	}
}

// finish prints the summary and tells whether all was well.
func (r *report) finish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := "PASS"
	if r.failed > 0 {
		result = "FAIL"
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(r.outcomes)) {
		fmt.Fprintf(&b, "%-44s %s\n", kind, counts(r.outcomes[kind]))
	}
	if len(r.troubles) > 0 {
		fmt.Fprintf(&b, "%-44s %s\n", "troubles", counts(r.troubles))
	}
	for _, text := range slices.Sorted(maps.Keys(r.failures)) {
		fmt.Fprintf(&b, "FAILED %d times: %s\n", r.failures[text], text)
	}
	fmt.Fprintf(&b, "%s: %d calls in %s, %d failures", result, r.calls, r.elapsed(), r.failed)
	r.printLocked(b.String(), map[string]any{
		"result": result, "calls": r.calls, "seconds": time.Since(r.start).Seconds(),
		"kinds": r.outcomes, "troubles": r.troubles, "failures": r.failures,
	})
	return r.failed == 0
}

// counts writes what was counted, sorted by name.
func counts(m map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[name], name))
	}
	return strings.Join(parts, ", ")
}
