// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"slices"
	"testing"
)

// A use is what of an entry of the lists was needed: a step, or one of those that it
// names as client or as server.
type use struct {
	entry *difference
	of    string
}

func clientUse(version string) string { return "client " + version }
func serverUse(version string) string { return "server " + version }
func stepUse(name string) string      { return fmt.Sprintf("step %q", name) }

// uses are those that occurred. Entries are few and pairs many, so that an entry which
// is of no use any more, or never was, is not noticed otherwise.
type uses map[use]bool

func (u uses) addPair(entry *difference, p pair) {
	u[use{entry, clientUse(p.client)}] = true
	u[use{entry, serverUse(p.server)}] = true
}

func (u uses) addSteps(entry *difference, list steps) {
	for _, step := range list {
		u[use{entry, stepUse(step.Name)}] = true
	}
}

// missing returns what an entry holds without need.
func (u uses) missing(entry *difference) (missing []string) {
	var all []string
	for _, version := range entry.clients {
		all = append(all, clientUse(version))
	}
	for _, version := range entry.servers {
		all = append(all, serverUse(version))
	}
	for _, name := range stepNames(entry.want) {
		all = append(all, stepUse(name))
	}
	return slices.DeleteFunc(all, func(of string) bool { return u[use{entry, of}] })
}

// about returns the entries of all lists that are about a scenario.
func about(scenario string) map[*difference]string {
	entries := make(map[*difference]string)
	add := func(list string, entry *difference) {
		if entry.scenario == scenario {
			entries[entry] = list
		}
	}
	for i := range better {
		add("better", &better[i])
	}
	for i := range asReference {
		add("asReference", &asReference[i])
	}
	for i := range hangs {
		add("hangs", (*difference)(&hangs[i]))
	}
	return entries
}

// checkUsed wants all that the lists say of the scenario to have been of use. A
// scenario that failed may have lacked a pair, and tells nothing.
func (x *experiment) checkUsed() {
	if x.t.Failed() {
		return
	}
	for entry, list := range about(x.scenario) {
		for _, of := range x.used.missing(entry) {
			x.t.Errorf("%s: %s: the list %s has an entry whose %s never occurs", entry.rule, entry.why, list, of)
		}
	}
}

// TestUses shows what is missed of an entry.
func TestUses(t *testing.T) {
	entry := &difference{
		where: where{clients: v12, servers: []string{ours}},
		want:  steps{saw("call", "x"), isClosed("call"), saw("still", "here")},
	}
	used := uses{}
	check := func(want ...string) {
		t.Helper()
		if got := used.missing(entry); !slices.Equal(got, want) {
			t.Errorf("missing are %q, want %q", got, want)
		}
	}
	check("client v1.2.2", "client v1.2.10", "server ours", `step "call"`, `step "still"`)
	used.addPair(entry, pair{reference, ours})
	used.addSteps(entry, named("call"))
	check("client v1.2.2", `step "still"`)
	used.addPair(entry, pair{"v1.2.2", ours})
	used.addSteps(&difference{want: entry.want}, named("still"))
	check(`step "still"`)
	used.addSteps(entry, named("still"))
	check()
}
