// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/perf/benchfmt"
)

// The units of what is measured, in results.
const (
	unitTime           = "ns/op"
	unitCPU            = "cpu-ns/op"
	unitAllocs         = "allocs/op"
	unitBytes          = "B/op"
	unitP50            = "p50-ns"
	unitP99            = "p99-ns"
	unitP999           = "p99.9-ns"
	unitSystemCalls    = "syscalls/op"
	unitServerMemory   = "server-B"
	unitClientMemory   = "client-B"
	unitServerRSS      = "server-rss-B"
	unitClientRSS      = "client-rss-B"
	unitServerBinary   = "server-binary-B"
	unitClientBinary   = "client-binary-B"
	unitServerResident = "server-resident-B"
	unitClientResident = "client-resident-B"
)

// metrics are values by their unit.
type metrics map[string]float64

// results are what was measured, in Go's benchmark format. A benchmark is a row and a
// side, and there is a line for each round.
type results struct{ lines []*benchfmt.Result }

func readResults(path string) (*results, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return new(results), nil
	} else if err != nil {
		return nil, err
	}
	r := new(results)
	reader := benchfmt.NewReader(bytes.NewReader(b), path)
	for reader.Scan() {
		switch line := reader.Result().(type) {
		case *benchfmt.Result:
			r.lines = append(r.lines, line.Clone())
		case *benchfmt.SyntaxError:
			return nil, line
		}
	}
	return r, reader.Err()
}

// write writes the results in the order of the rows.
func (r *results) write(path string) error {
	var b bytes.Buffer
	w := benchfmt.NewWriter(&b)
	for _, row := range rows() {
		for _, line := range r.lines {
			if name, _ := splitName(line); name != row.name {
				continue
			}
			if err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// sideKey stands before a side's name in a benchmark's.
const sideKey = "/side="

func splitName(line *benchfmt.Result) (row, side string) {
	row, side, _ = strings.Cut(line.Name.String(), sideKey)
	return row, side
}

// newLine is what a side has for a row, in one round.
func newLine(r *row, s *side, m metrics, calls int) *benchfmt.Result {
	line := &benchfmt.Result{Config: machine(), Name: benchfmt.Name(r.name + sideKey + s.name), Iters: max(calls, 1)}
	units := make([]string, 0, len(m))
	for unit := range m {
		units = append(units, unit)
	}
	slices.Sort(units)
	for _, unit := range units {
		line.Values = append(line.Values, benchfmt.Value{Value: rounded(m[unit]), Unit: unit})
	}
	return line
}

// rounded leaves of a value what can be told apart.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 5-math.Ceil(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// replace puts lines into the place of all that a row had.
func (r *results) replace(row string, lines []*benchfmt.Result) {
	r.lines = slices.DeleteFunc(r.lines, func(line *benchfmt.Result) bool {
		name, _ := splitName(line)
		return name == row
	})
	r.lines = append(r.lines, lines...)
}

// values returns what all rounds had.
func (r *results) values(row, side, unit string) (values []float64) {
	for _, line := range r.lines {
		if lineRow, lineSide := splitName(line); lineRow != row || lineSide != side {
			continue
		}
		for _, v := range line.Values {
			switch unit {
			case v.OrigUnit:
				values = append(values, v.OrigValue)
			case v.Unit:
				values = append(values, v.Value)
			}
		}
	}
	return values
}

// median returns the median of all rounds, and how far from it they were: half of the
// way from the smallest to the largest, as a part of it. There is none without values.
func (r *results) median(row, side, unit string) (median, spread float64, ok bool) {
	values := slices.Sorted(slices.Values(r.values(row, side, unit)))
	n := len(values)
	if n == 0 {
		return 0, 0, false
	}
	median = (values[(n-1)/2] + values[n/2]) / 2
	if median != 0 {
		spread = (values[n-1] - values[0]) / 2 / median
	}
	return median, spread, true
}

// machine describes the machine.
func machine() []benchfmt.Config {
	var name syscall.Utsname
	kernel := "unknown"
	if syscall.Uname(&name) == nil {
		var release []byte
		for _, c := range name.Release {
			if c != '.' && (c < '0' || c > '9') {
				break
			}
			release = append(release, byte(c))
		}
		kernel = string(release)
	}
	config := func(key, value string) benchfmt.Config {
		return benchfmt.Config{Key: key, Value: []byte(value), File: true}
	}
	return []benchfmt.Config{
		config("goos", runtime.GOOS), config("goarch", runtime.GOARCH),
		config("cores", countLabel(runtime.NumCPU())), config("go", runtime.Version()), config("kernel", kernel),
	}
}
