// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

// measuring is how a run goes.
type measuring struct {
	context.Context
	programs string // directory
	rounds   int
	quick    bool
	log      io.Writer
}

// lasts is how long a row is measured.
func (m *measuring) lasts(r *row) time.Duration {
	if m.quick {
		return min(r.lasts, 20*time.Millisecond)
	}
	return r.lasts
}

// timeout is for one measurement.
const timeout = 3 * time.Minute

// build builds all programs of the rows' sides.
func (m *measuring) build(rows []*row) error {
	built := make(map[string]bool)
	for _, s := range slices.Concat(sidesOf(rows)...) {
		if built[s.programs()] {
			continue
		}
		built[s.programs()] = true
		fmt.Fprintf(m.log, "building %s\n", s.programs())
		if err := s.build(m, m.programs); err != nil {
			return err
		}
	}
	return nil
}

func sidesOf(rows []*row) (all [][]*side) {
	for _, r := range rows {
		all = append(all, r.sides)
	}
	return all
}

// measure measures a row: all sides in turn, round by round, and in each round
// another begins. A side that fails has no result; the error tells of it.
func (m *measuring) measure(r *row) (lines []*benchfmt.Result, failed error) {
	sides := slices.Clone(r.sides)
	rounds := m.rounds
	if r.rounds > 0 {
		rounds = min(rounds, r.rounds)
	}
	start := time.Now()
	for round := range rounds {
		for i := range sides {
			s := sides[(round+i)%len(sides)]
			if s == nil {
				continue
			}
			result, err := r.measure(m, s, r)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s of %s: %w", r.name, s.name, err))
				sides[(round+i)%len(sides)] = nil
				lines = slices.DeleteFunc(lines, func(line *benchfmt.Result) bool {
					_, of := splitName(line)
					return of == s.name
				})
				continue
			}
			if result == nil {
				continue // it has nothing of the kind
			}
			calls := int(result["n"])
			delete(result, "n")
			lines = append(lines, newLine(r, s, result, calls))
		}
	}
	fmt.Fprintf(m.log, "%s: %d rounds, %.1f s\n", r.name, rounds, time.Since(start).Seconds())
	return lines, failed
}

// unitOf tells in which unit a driver's metrics are.
var unitOf = map[string]string{
	"n": "n", "ns": unitTime, "cpu-ns": unitCPU, "allocs": unitAllocs, "bytes": unitBytes,
	"p50-ns": unitP50, "p99-ns": unitP99, "p99.9-ns": unitP999,
	"server-bytes": unitServerMemory, "client-bytes": unitClientMemory,
	"server-rss": unitServerRSS, "client-rss": unitClientRSS,
}

// measureDriven runs a side's driver.
func measureDriven(m *measuring, s *side, r *row) (metrics, error) {
	raw, _, err := m.drive(s, r, m.lasts(r))
	if raw == nil || err != nil {
		return nil, err
	}
	result := make(metrics)
	for name, value := range raw {
		if unit, ok := unitOf[name]; ok {
			result[unit] = value
		}
	}
	return result, nil
}

// drive runs a side's driver, below a wrapper if there is one. It returns nil if the
// side has nothing of the kind.
func (m *measuring) drive(s *side, r *row, lasts time.Duration, wrapper ...string) (metrics, string, error) {
	if s.driver == "" {
		return nil, "", nil
	}
	ctx, cancel := context.WithTimeout(m, timeout)
	defer cancel()
	args := slices.Concat(wrapper, []string{s.program(m.programs, s.driver)}, r.args, s.args)
	if m.quick {
		args = append(args, "-settle=0s", "-max=50")
	}
	args = append(args, flagged("for", lasts))
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, "", fmt.Errorf("%s: %w\n%s", strings.Join(r.args, " "), err, stderr.Bytes())
	}
	var result metrics
	err := json.Unmarshal(stdout.Bytes(), &result)
	return result, stderr.String(), err
}

// systemCallEvent is what perf counts.
const systemCallEvent = "raw_syscalls:sys_enter"

// measureSystemCalls counts those of a short run and of a longer one: what they differ
// by is neither for starting nor for ending. Where there is no perf, or it may not
// count, there is no result.
func measureSystemCalls(m *measuring, s *side, r *row) (metrics, error) {
	perf := []string{"perf", "stat", "-x,", "-e", systemCallEvent}
	if exec.CommandContext(m, perf[0], append(perf[1:], "true")...).Run() != nil {
		return nil, nil
	}
	var calls, counted [2]float64
	for i, lasts := range []time.Duration{m.lasts(r) / 8, m.lasts(r)} {
		result, report, err := m.drive(s, r, lasts, perf...)
		if result == nil || err != nil {
			return nil, err
		}
		calls[i] = result["all"]
		if counted[i], err = perfCount(report); err != nil {
			return nil, err
		}
	}
	n, more := calls[1]-calls[0], counted[1]-counted[0]
	if (n <= 0 || more <= 0) && m.quick { // neither run was long enough for a busy machine
		return nil, nil
	}
	if n <= 0 || more <= 0 {
		return nil, fmt.Errorf("%v calls and %v of the system in a short run, %v and %v in a longer one", calls[0], counted[0], calls[1], counted[1])
	}
	return metrics{"n": n, unitSystemCalls: more / n}, nil
}

// perfCount finds the count in a report of perf stat -x,.
func perfCount(report string) (float64, error) {
	for line := range strings.Lines(report) {
		if fields := strings.Split(line, ","); len(fields) > 2 && fields[2] == systemCallEvent {
			return strconv.ParseFloat(fields[0], 64)
		}
	}
	return 0, fmt.Errorf("perf has not counted: %s", report)
}
