// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// A where is a set of pairs: by who may be the client and who the server. Nil means
// anyone.
type where struct{ clients, servers []string }

func (w where) matches(p pair) bool {
	return (w.clients == nil || slices.Contains(w.clients, p.client)) &&
		(w.servers == nil || slices.Contains(w.servers, p.server))
}

// A difference says that in a scenario some pairs do not report what the release
// reports of itself.
type difference struct {
	rule     string // the statement of the contract that asks for it
	why      string
	scenario string
	where

	// want are the steps that differ. Several of one name are what the step may
	// be, if that is luck.
	want steps
}

// A hang says that a scenario never ends with some pairs, or is the end of one of
// their processes. They are not run; the others report want.
type hang struct {
	rule, why, scenario string
	where
	want steps
}

// nowAndThen are hangs that seldom happen: these pairs are run, and run again if they hang.
var nowAndThen = []hang{
	{
		rule: "B25", why: "Close leaves a connection with a call open, now and then",
		scenario: "server closes mid-call", where: where{servers: []string{"v1.2.2"}},
	},
}

// triesOf is how often a pair may be run.
func triesOf(p pair, scenario string) int {
	if findHang(nowAndThen, p, scenario) != nil {
		return 3
	}
	return 1
}

// entries returns those of a list that are about a step.
func entries(list []difference, scenario, name string, p pair) (about []*difference) {
	for i, d := range list {
		if d.scenario == scenario && d.matches(p) && slices.Contains(stepNames(d.want), name) {
			about = append(about, &list[i])
		}
	}
	return about
}

// listed returns what a list says of a step.
func listed(list []difference, scenario, name string, p pair) (want steps, by *difference) {
	for _, by = range entries(list, scenario, name, p) {
		for _, step := range by.want {
			if step.Name == name {
				want = append(want, step)
			}
		}
	}
	return want, by
}

// stepNames returns the names of all steps, those of the first first.
func stepNames(reports ...steps) []string {
	var names []string
	for _, seen := range reports {
		for _, step := range seen {
			if !slices.Contains(names, step.Name) {
				names = append(names, step.Name)
			}
		}
	}
	return names
}

// find returns the step of a name, or one without a name.
func find(seen steps, name string) report.Step {
	for _, step := range seen {
		if step.Name == name {
			return step
		}
	}
	return report.Step{}
}

func only(step report.Step) steps { return steps{step} }

// format shows steps, a line each.
func format(list steps) string {
	var b strings.Builder
	for _, step := range list {
		fmt.Fprintf(&b, "\n\t%+v", step)
	}
	return b.String()
}
