// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/cli"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/load"
)

// A report is what ttrpc bench has measured, and what --json writes. Times without a unit in
// their name are in microseconds.
type report struct {
	Time    time.Time `json:"time"`
	Address string    `json:"address"`
	Version string    `json:"version"` // of the command
	benchSettings

	Seconds   float64       `json:"seconds"`
	Calls     int64         `json:"calls"` // that have ended
	OK        int64         `json:"ok"`
	Missed    int64         `json:"missed"`     // that were due and have not begun
	Undone    int64         `json:"unfinished"` // that were given up at the end
	PerSecond float64       `json:"per_second"`
	Errors    []reportError `json:"errors,omitempty"`

	Latency *load.Summary `json:"latency,omitempty"`
	Service *load.Summary `json:"service,omitempty"` // with a rate: from when they were made

	Sent     int64         `json:"messages_sent"`
	Received int64         `json:"messages_received"`
	Trips    *load.Summary `json:"pairs,omitempty"`

	CPU reportCPU `json:"cpu"`
}

// benchSettings is what two reports that are compared should have in common.
type benchSettings struct {
	Method      string  `json:"method"`
	Kind        string  `json:"kind"` // who streams, as --stream has it, or "unary"
	Callers     int     `json:"callers"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate,omitempty"`
	Messages    int     `json:"messages,omitempty"`
	Extended    bool    `json:"extended"` // was agreed on
}

type reportError struct {
	Code  string `json:"code"`
	Count int64  `json:"count"`
	First string `json:"first"`
}

// A reportCPU is time on processors.
type reportCPU struct {
	Client    float64 `json:"client_seconds,omitempty"`
	Server    float64 `json:"server_seconds,omitempty"`
	ClientOne float64 `json:"client_per_call,omitempty"`
	ServerOne float64 `json:"server_per_call,omitempty"`
	ServerPID int     `json:"server_pid,omitempty"`
	Unknown   string  `json:"server_unknown,omitempty"` // why
}

func cpuOf(here, there *load.Process, why error, calls int64) (c reportCPU) {
	one := func(p *load.Process, err error) (seconds, per float64, _ error) {
		if p == nil || err != nil {
			return 0, 0, err
		}
		used, err := p.Used()
		if err != nil || calls == 0 {
			return 0, 0, err
		}
		return used.Seconds(), math.Round(float64(used.Microseconds())/float64(calls)*10) / 10, nil
	}
	c.Client, c.ClientOne, _ = one(here, nil)
	c.Server, c.ServerOne, why = one(there, why)
	switch {
	case errors.Is(why, errors.ErrUnsupported):
		c.Unknown = "only Linux tells"
	case why != nil:
		c.Unknown = why.Error()
	case there != nil:
		c.ServerPID = there.PID
	}
	return c
}

func (b *bench) newReport(address string, result *load.Result) *report {
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second), Address: address, Version: cli.Version(),
		benchSettings: benchSettings{
			b.service + "/" + b.method, b.kindName(), b.callers, b.connections, b.rate, b.messages, b.clients[0].Snapshot().Extended,
		},
		Seconds: result.Took.Seconds(), Calls: result.Calls, OK: result.Latency.Count(), Missed: result.Missed, Undone: result.Unfinished,
		PerSecond: float64(result.Calls) / result.Took.Seconds(),
		Latency:   result.Latency.Summary(), Service: result.Service.Summary(),
		Sent: b.counts.sent.Load(), Received: b.counts.received.Load(), Trips: b.counts.trips.Summary(),
	}
	for _, f := range result.Failures.All() {
		r.Errors = append(r.Errors, reportError{f.Code.String(), f.Count, status.Convert(f.First).Message()})
	}
	return r
}

// kindName tells who streams.
func (b *bench) kindName() string {
	switch {
	case b.clientStreams && b.serverStreams:
		return "both"
	case b.clientStreams:
		return "client"
	case b.serverStreams:
		return "server"
	}
	return "unary"
}

// readReport reads what --json has written.
func readReport(name string) (*report, error) {
	const hint = "--compare wants a file that --json has written."
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, cli.Input(hint, "--compare: %w", err)
	}
	r := new(report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, cli.Input(hint, "--compare: %s: %w", name, err)
	}
	if r.Method == "" || r.Calls == 0 {
		return nil, cli.Input(hint, "--compare: %s has no result", name)
	}
	return r, nil
}

// show prints the report, beside an earlier one if there is one.
func (r *report) show(e *cli.Env, asJSON bool, before *report) error {
	if asJSON {
		out := json.NewEncoder(e.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	r.head(e.Stdout)
	if before != nil {
		r.warn(e.Stdout, before)
	}
	rows := r.rows()
	longest := 0
	for _, row := range rows {
		longest = max(longest, len(row.name))
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if before != nil {
		fmt.Fprintf(w, "%*s\tbefore\tnow\t\t\n", longest, "")
	}
	for _, row := range rows {
		is := row.of(r)
		if before == nil {
			fmt.Fprintf(w, "%-*s\t%s\t\n", longest, row.name, row.format(is))
			continue
		}
		was := row.of(before)
		fmt.Fprintf(w, "%-*s\t%s\t%s\t%s\t\n", longest, row.name, orDash(was, row.format(was)), row.format(is), change(was, is))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r.foot(e.Stdout)
	return nil
}

// orDash returns how a number is written, or a dash if there is none.
func orDash(n float64, text string) string {
	if math.IsNaN(n) {
		return "-"
	}
	return text
}

// change returns how much a number has changed, if that can be said.
func change(was, is float64) string {
	if math.IsNaN(was) || was == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", (is-was)/was*100)
}

// head says what was done.
func (r *report) head(w io.Writer) {
	how := fmt.Sprintf("%d callers", r.Callers)
	if r.Callers == 1 {
		how = "1 caller"
	}
	if r.Rate > 0 {
		how = fmt.Sprintf("%v calls a second by %d callers at most", r.Rate, r.Callers)
	}
	mode := "classic"
	if r.Extended {
		mode = "in extended mode"
	}
	connections := "connections"
	if r.Connections == 1 {
		connections = "connection"
	}
	fmt.Fprintf(w, "%s at %s: %s, %d %s, %s, for %.1f s\n\n", r.Method, r.Address, how, r.Connections, connections, mode, r.Seconds)
}

// warn tells what makes two reports hard to compare.
func (r *report) warn(w io.Writer, before *report) {
	if r.benchSettings != before.benchSettings {
		was, is := before.benchSettings, r.benchSettings
		fmt.Fprintf(w, "Not the same was measured:\n  before: %s\n  now:    %s\n\n", was, is)
	}
}

// String says them in words.
func (s benchSettings) String() string {
	return fmt.Sprintf("%s (%s), callers %d, connections %d, rate %v, messages %d, extended mode %t",
		s.Method, s.Kind, s.Callers, s.Connections, s.Rate, s.Messages, s.Extended)
}

// A row is one number of a report.
type row struct {
	name   string
	format func(float64) string
	of     func(*report) float64
}

func (r *report) rows() []row {
	count := func(n float64) string { return fmt.Sprintf("%.0f", n) }
	rate := func(n float64) string { return fmt.Sprintf("%.1f", n) }
	rows := []row{
		{"calls", count, func(r *report) float64 { return float64(r.Calls) }},
		{"calls a second", rate, func(r *report) float64 { return r.PerSecond }},
	}
	if r.Rate > 0 {
		rows = append(rows, row{"due and not begun", count, func(r *report) float64 { return float64(r.Missed) }})
	}
	if r.Kind != "unary" {
		rows = append(rows,
			row{"messages sent", count, func(r *report) float64 { return float64(r.Sent) }},
			row{"messages received", count, func(r *report) float64 { return float64(r.Received) }},
			row{"messages a second", rate, func(r *report) float64 { return float64(r.Sent+r.Received) / r.Seconds }})
	}
	latency := "latency"
	if r.Service != nil {
		latency = "from when due:"
	}
	rows = append(rows, summaryRows(latency, r.Latency, func(r *report) *load.Summary { return r.Latency })...)
	rows = append(rows, summaryRows("from when made:", r.Service, func(r *report) *load.Summary { return r.Service })...)
	rows = append(rows, summaryRows("message and answer:", r.Trips, func(r *report) *load.Summary { return r.Trips })...)
	if r.CPU.ClientOne > 0 {
		rows = append(rows, row{"CPU a call, client", micros, func(r *report) float64 { return r.CPU.ClientOne }})
	}
	if r.CPU.ServerPID != 0 {
		rows = append(rows, row{"CPU a call, server", micros, func(r *report) float64 { return r.CPU.ServerOne }})
	}
	return rows
}

// summaryRows are the rows of times, if there are any.
func summaryRows(what string, have *load.Summary, of func(*report) *load.Summary) (rows []row) {
	if have == nil {
		return nil
	}
	for _, one := range []struct {
		name string
		of   func(*load.Summary) float64
	}{
		{"least", func(s *load.Summary) float64 { return s.Min }},
		{"mean", func(s *load.Summary) float64 { return s.Mean }},
		{"p50", func(s *load.Summary) float64 { return s.P50 }},
		{"p90", func(s *load.Summary) float64 { return s.P90 }},
		{"p99", func(s *load.Summary) float64 { return s.P99 }},
		{"p99.9", func(s *load.Summary) float64 { return s.P999 }},
		{"most", func(s *load.Summary) float64 { return s.Max }},
	} {
		rows = append(rows, row{what + " " + one.name, micros, func(r *report) float64 {
			if s := of(r); s != nil {
				return one.of(s)
			}
			return math.NaN()
		}})
	}
	return rows
}

// micros writes a time in microseconds with a unit that fits.
func micros(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.3f s", us/1e6)
	case us >= 1e4:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return fmt.Sprintf("%.1f µs", us)
}

// foot tells of errors, and what a reader must know.
func (r *report) foot(w io.Writer) {
	if len(r.Errors) > 0 {
		fmt.Fprintf(w, "\nCalls that have failed, not in the times: %d\n", r.Calls-r.OK)
		for _, e := range r.Errors {
			fmt.Fprintf(w, "  %d %s, the first: %s\n", e.Count, e.Code, strings.TrimSpace(e.First))
		}
	}
	if r.Undone > 0 {
		fmt.Fprintf(w, "\nCalls without an answer at the end, not counted: %d.\n", r.Undone)
	}
	if r.Missed*100 > r.Calls { // a few are what was due in the last moment
		fmt.Fprintf(w, "\nThe server, or %d callers, could not keep up: %d calls were due and had not begun at the end.\n", r.Callers, r.Missed)
	}
	switch {
	case r.CPU.Unknown != "":
		fmt.Fprintf(w, "\nThe server's CPU is not known: %s.\n", r.CPU.Unknown)
	case r.CPU.ServerPID == os.Getpid():
		fmt.Fprintf(w, "\nThe server is this process itself.\n")
	}
}
