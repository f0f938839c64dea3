// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/ttrpc/conformance/internal/runner"
	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// A Report has the verdicts on one peer.
type Report struct {
	Peer     string // its name
	Known    Known
	Verdicts []runner.Verdict
}

// Failed tells whether the run has failed: a case that must pass does not, or one that is known
// to fail does.
func (r *Report) Failed() bool {
	for _, v := range r.Verdicts {
		if r.Known.Judge(v) >= Failed {
			return true
		}
	}
	return false
}

// explain says what became of a case that did not pass.
func (r *Report) explain(v runner.Verdict) string {
	switch r.Known.Judge(v) {
	case Skipped:
		return v.Skipped
	case Mended:
		return "it passes, and is known to fail: take it out of the file of known failures"
	case Expected:
		return "known: " + r.Known[v.Case.Name] + ": " + v.Err.Error()
	case Declined:
		return "may: " + v.Err.Error()
	case Failed:
		return v.Err.Error()
	}
	return ""
}

// Text writes what has failed, and counts.
func (r *Report) Text(w io.Writer) {
	counts := make(map[Outcome]int)
	for _, v := range r.Verdicts {
		outcome := r.Known.Judge(v)
		counts[outcome]++
		if outcome >= Failed {
			fmt.Fprintf(w, "FAIL %s (%s)\n     %s\n     %s\n", v.Case.Name, v.Case.Rule, v.Case.About, r.explain(v))
		} else if outcome == Declined {
			fmt.Fprintf(w, "may  %s (%s)\n     %s\n     %s\n", v.Case.Name, v.Case.Rule, v.Case.About, v.Err)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d do what they may, %d known failures, %d skipped\n",
		counts[Passed], counts[Failed]+counts[Mended], counts[Declined], counts[Expected], counts[Skipped])
}

// TAP writes version 13 of the Test Anything Protocol.
func (r *Report) TAP(w io.Writer) {
	fmt.Fprintf(w, "TAP version 13\n1..%d\n", len(r.Verdicts))
	for i, v := range r.Verdicts {
		word, directive := "ok", ""
		switch r.Known.Judge(v) {
		case Skipped:
			directive = " # SKIP " + oneLine(v.Skipped)
		case Declined, Expected:
			word, directive = "not ok", " # TODO "+oneLine(r.explain(v))
		case Failed, Mended:
			word = "not ok"
		}
		fmt.Fprintf(w, "%s %d - %s%s\n", word, i+1, v.Case.Name, directive)
		if directive == "" && word != "ok" {
			fmt.Fprintf(w, "  ---\n  message: %q\n  rule: %q\n  ...\n", r.explain(v), v.Case.Rule)
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Cases    []testcase `xml:"testcase"`
}

type testcase struct {
	Class   string  `xml:"classname,attr"`
	Name    string  `xml:"name,attr"`
	Time    string  `xml:"time,attr"`
	Failure *reason `xml:"failure,omitempty"`
	Skipped *reason `xml:"skipped,omitempty"`
}

type reason struct {
	Message string `xml:"message,attr"`
}

// JUnit writes the XML that CI systems read: a suite for each level. What may fail, or is known
// to, is skipped there.
func (r *Report) JUnit(w io.Writer) error {
	var all suites
	for _, level := range vector.Levels {
		s := suite{Name: r.Peer + "." + level}
		for _, v := range r.Verdicts {
			if v.Case.Level != level {
				continue
			}
			c := testcase{Class: s.Name, Name: v.Case.Name, Time: fmt.Sprintf("%.3f", v.Took.Seconds())}
			switch outcome := r.Known.Judge(v); {
			case outcome >= Failed:
				c.Failure = &reason{r.explain(v)}
				s.Failures++
			case outcome != Passed:
				c.Skipped = &reason{r.explain(v)}
				s.Skipped++
			}
			s.Cases = append(s.Cases, c)
		}
		if s.Tests = len(s.Cases); s.Tests > 0 {
			all.Suites = append(all.Suites, s)
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "\t")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Table returns a table in Markdown: a row for each level, a column for each report. A cell
// tells how many of the cases that were played pass; after that what may fail, and does.
func Table(reports []*Report) string {
	var b strings.Builder
	b.WriteString("| level |")
	for _, r := range reports {
		fmt.Fprintf(&b, " %s |", r.Peer)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(reports)) + "\n")
	for _, level := range vector.Levels {
		fmt.Fprintf(&b, "| %s |", level)
		for _, r := range reports {
			fmt.Fprintf(&b, " %s |", r.cell(level))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r *Report) cell(level string) string {
	passed, played, may, all := 0, 0, 0, 0
	for _, v := range r.Verdicts {
		if v.Case.Level != level {
			continue
		}
		all++
		switch r.Known.Judge(v) {
		case Skipped:
		case Passed, Mended:
			passed++
			played++
		case Declined:
			may++
		default:
			if v.Case.Force == vector.May {
				may++
			} else {
				played++
			}
		}
	}
	switch {
	case all == 0:
		return ""
	case played+may == 0:
		return "–"
	case may > 0:
		return fmt.Sprintf("%d/%d, and not %d that it may", passed, played, may)
	}
	return fmt.Sprintf("%d/%d", passed, played)
}
