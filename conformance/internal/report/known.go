// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report counts verdicts and writes them down, as text, TAP, JUnit and Markdown.
package report

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/ttrpc/conformance/internal/runner"
	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// Known are the cases that a peer is known to fail, and why.
type Known map[string]string

// ReadKnown reads a file of known failures: a name on each line, and after # the reason. A name
// that no case has is an error, and so is one without a reason.
func ReadKnown(path string, cases []vector.Case) (Known, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := make(map[string]bool)
	for _, c := range cases {
		names[c.Name] = true
	}
	known := make(Known)
	s := bufio.NewScanner(f)
	for line := 1; s.Scan(); line++ {
		name, why, _ := strings.Cut(s.Text(), "#")
		name, why = strings.TrimSpace(name), strings.TrimSpace(why)
		switch {
		case name == "":
		case !names[name]:
			return nil, fmt.Errorf("%s:%d: there is no case %s; --list has all", path, line, name)
		case why == "":
			return nil, fmt.Errorf("%s:%d: say after # why %s fails", path, line, name)
		case known[name] != "":
			return nil, fmt.Errorf("%s:%d: %s stands in the file before", path, line, name)
		default:
			known[name] = why
		}
	}
	return known, s.Err()
}

// An Outcome is what a verdict means.
type Outcome int

// The outcomes. Those from Failed on make a run fail.
const (
	Passed   Outcome = iota
	Skipped          // it was not played
	Declined         // it fails, and may
	Expected         // it fails, and is known to
	Failed
	Mended // it is known to fail, and does not
)

// Judge says what a verdict means.
func (k Known) Judge(v runner.Verdict) Outcome {
	_, known := k[v.Case.Name]
	switch {
	case v.Skipped != "":
		return Skipped
	case v.Err == nil && known:
		return Mended
	case v.Err == nil:
		return Passed
	case known:
		return Expected
	case v.Case.Force == vector.May:
		return Declined
	}
	return Failed
}
