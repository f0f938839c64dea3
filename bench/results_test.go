// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

func lines(values ...float64) (all []*benchfmt.Result) {
	for _, v := range values {
		all = append(all, newLine(rows()[0], sides[0], metrics{unitTime: v, unitP99: 2 * v, unitServerMemory: v}, 7))
	}
	return all
}

// TestResults writes results, reads them, and replaces those of one row.
func TestResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), resultsFile)
	first, second := rows()[0], rows()[1]
	r := new(results)
	r.replace(second.name, []*benchfmt.Result{newLine(second, sides[1], metrics{unitTime: 5}, 1)})
	r.replace(first.name, lines(1000, 3000))
	for _, want := range [][]float64{{1000, 3000}, {1234.5, 2, 3e-7}} {
		r.replace(first.name, lines(want...))
		if err := r.write(path); err != nil {
			t.Fatal(err)
		}
		var err error
		if r, err = readResults(path); err != nil {
			t.Fatal(err)
		}
		for unit, times := range map[string]float64{unitTime: 1, unitP99: 2, unitServerMemory: 1} {
			scaled := make([]float64, len(want))
			for i, v := range want {
				scaled[i] = times * v
			}
			if got := r.values(first.name, sides[0].name, unit); !slices.Equal(got, scaled) {
				t.Errorf("%s: got %v, want %v", unit, got, scaled)
			}
		}
		if got := r.values(second.name, sides[1].name, unitTime); !slices.Equal(got, []float64{5}) {
			t.Errorf("another row has %v instead of 5", got)
		}
		if name, _ := splitName(r.lines[0]); name != first.name {
			t.Errorf("the first line is of %s", name)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values         []float64
		median, spread float64
	}{
		{[]float64{4}, 4, 0},
		{[]float64{6, 2}, 4, .5},
		{[]float64{9, 1, 4}, 4, 1},
		{[]float64{2, 100, 4, 6}, 5, 9.8},
	} {
		r := &results{lines(tt.values...)}
		median, spread, ok := r.median(rows()[0].name, sides[0].name, unitTime)
		if median != tt.median || spread != tt.spread || !ok {
			t.Errorf("%v: got %v ± %v, want %v ± %v", tt.values, median, spread, tt.median, tt.spread)
		}
	}
	if _, _, ok := new(results).median(rows()[0].name, sides[0].name, unitTime); ok {
		t.Error("nothing has a median")
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		value float64
		unit  string
		want  string
	}{
		{13249, unitTime, "13.2 µs"},
		{999.4, unitTime, "999 ns"},
		{1.5e9, unitP50, "1.50 s"},
		{4250, unitServerMemory, "4.25 kB"},
		{12, unitBytes, "12.0 B"},
		{6.04, unitAllocs, "6.04"},
		{0.33, unitSystemCalls, "0.33"},
		{-1, unitClientRSS, "0"},
	} {
		if got := formatValue(tt.value, tt.unit); got != tt.want {
			t.Errorf("%v %s: got %q, want %q", tt.value, tt.unit, got, tt.want)
		}
	}
	for _, tt := range []struct {
		a, b float64
		want string
	}{
		{9, 2, "4.50"}, {1, 3, "0.33"}, {9.996, 1, "10.0"}, {123.4, 1, "123"}, {5000, 1, "> 1000"}, {1, 0, "–"}, {0, 1, "–"},
	} {
		if got := formatRatio(tt.a, tt.b); got != tt.want {
			t.Errorf("%v/%v: got %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestPerfCount(t *testing.T) {
	report := "some words\n29,,raw_syscalls:sys_enter,653284,100.00,,\n"
	if n, err := perfCount(report); n != 29 || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
	for _, report := range []string{"", "<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n"} {
		if n, err := perfCount(report); err == nil {
			t.Errorf("%q: got %v and no error", report, n)
		}
	}
}

// TestFailingSide holds that a side which fails, in whatever round, costs the others
// nothing.
func TestFailingSide(t *testing.T) {
	rounds := make(map[string]int)
	r := &row{name: "Row", measure: func(_ *measuring, s *side, _ *row) (metrics, error) {
		if rounds[s.name]++; s.name == "bad" && rounds[s.name] == 2 {
			return nil, errors.New("it fails")
		}
		return metrics{unitTime: 1, "n": 1}, nil
	}}
	m := &measuring{Context: t.Context(), rounds: 3, log: io.Discard}
	r.sides = []*side{{name: "good"}, {name: "bad"}, {name: "fine"}}
	lines, err := m.measure(r)
	if err == nil || !strings.Contains(err.Error(), "Row of bad: it fails") {
		t.Errorf("the error is %v", err)
	}
	got := make(map[string]int)
	for _, line := range lines {
		_, of := splitName(line)
		got[of]++
	}
	if want := map[string]int{"good": 3, "fine": 3}; !maps.Equal(got, want) || rounds["bad"] != 2 {
		t.Errorf("lines %v, want %v; the side that failed was measured %d times, want 2", got, want, rounds["bad"])
	}
}
