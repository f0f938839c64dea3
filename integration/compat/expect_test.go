// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// where is a set of pairs.
type where uint

const (
	theirs   where = 1 << iota // both ends are the release
	toOurs                     // the release calls this library
	fromOurs                   // this library calls the release
	bothOurs

	ourClient   = fromOurs | bothOurs
	ourServer   = toOurs | bothOurs
	theirClient = theirs | toOurs
	theirServer = theirs | fromOurs
)

// pair is who talks to whom, by version.
type pair struct{ client, server string }

func (p pair) String() string { return p.client + " client, " + p.server + " server" }

func (p pair) where() where {
	switch {
	case p.client == ours && p.server == ours:
		return bothOurs
	case p.client == ours:
		return fromOurs
	case p.server == ours:
		return toOurs
	}
	return theirs
}

// A difference says that in a scenario some pairs do not report what the release
// reports of itself.
type difference struct {
	rule     string // the statement of the contract that asks for it
	why      string
	scenario string
	where    where

	// want are the steps that differ. Several of one name are what the step may
	// be, if that is luck.
	want []report.Step
}

// A hang says that a scenario never ends with some pairs, which are not run. The
// others report want.
type hang struct {
	rule, why, scenario string
	where               where
	want                []report.Step
}

// check compares what a pair reports with what the release reports of itself, but
// for the differences that are listed. A difference that is listed and does not
// occur is an error, too, unless it is luck what the release reports.
func check(t *testing.T, p pair, scenario string, baseline, got []report.Step) {
	t.Helper()
	for _, name := range stepNames(baseline, got) {
		base, step := find(baseline, name), find(got, name)
		want, rule := only(base), "as the release"
		if listed, d := differing(scenario, name, p.where()); len(listed) > 0 {
			want, rule = listed, d.rule+": "+d.why
			luck, _ := differing(scenario, name, theirs)
			if len(luck) == 0 && reflect.DeepEqual(want[0], base) {
				t.Errorf("%s: %v: step %q does not differ any more", rule, p, name)
			}
		}
		if !slices.ContainsFunc(want, func(w report.Step) bool { return reflect.DeepEqual(w, step) }) {
			t.Errorf("%s: %v: got%s\nwant%s", rule, p, format(only(step)), format(want))
		}
	}
}

// differing returns what is listed for a step.
func differing(scenario, name string, w where) (want []report.Step, by difference) {
	for _, d := range differences {
		if d.scenario != scenario || d.where&w == 0 {
			continue
		}
		for _, step := range d.want {
			if step.Name == name {
				want, by = append(want, step), d
			}
		}
	}
	return want, by
}

// stepNames returns the names of all steps, those of the first first.
func stepNames(reports ...[]report.Step) []string {
	var names []string
	for _, steps := range reports {
		for _, step := range steps {
			if !slices.Contains(names, step.Name) {
				names = append(names, step.Name)
			}
		}
	}
	return names
}

// find returns the step of a name, or one without a name.
func find(steps []report.Step, name string) report.Step {
	for _, step := range steps {
		if step.Name == name {
			return step
		}
	}
	return report.Step{}
}

func only(want report.Step) []report.Step { return []report.Step{want} }

// format shows steps, a line each.
func format(steps []report.Step) string {
	var b strings.Builder
	for _, step := range steps {
		fmt.Fprintf(&b, "\n\t%+v", step)
	}
	return b.String()
}
