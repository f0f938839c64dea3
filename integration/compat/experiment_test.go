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

type steps = []report.Step

// pair is who talks to whom, by version.
type pair struct{ client, server string }

func (p pair) String() string { return p.client + " client, " + p.server + " server" }

func (p pair) hasOurs() bool { return p.client == ours || p.server == ours }

// classic is the pair without the extended mode. A pair that has not agreed on it must
// see what that one sees, and one that has, the same but for what is listed.
func (p pair) classic() pair {
	for _, version := range []*string{&p.client, &p.server} {
		if *version == extended || *version == declining {
			*version = ours
		}
	}
	return p
}

// agrees tells whether a pair is in extended mode.
func (p pair) agrees() bool { return p.client == extended && p.server == extended }

// programs are what is run for the pair.
func (p pair) programs() (client, server string) {
	if p.agrees() {
		return agreeing, agreeing
	}
	return p.client, p.server
}

// with replaces this library in the pair.
func (p pair) with(release string) pair {
	if p.client == ours {
		p.client = release
	}
	if p.server == ours {
		p.server = release
	}
	return p
}

// release is who shows what a pair with this library should see.
func (p pair) release() string {
	for _, version := range []string{p.client, p.server} {
		if version != ours {
			return version
		}
	}
	return reference
}

// An experiment is one scenario with all pairs.
type experiment struct {
	t        *testing.T
	scenario string
	known    scenarios
	sockets  string // what their names begin with
	seen     map[pair]steps
	used     uses
}

// runAll runs the scenario with all pairs that have it, and do not hang.
func (x *experiment) runAll() {
	crew := newCrew(x.scenario)
	defer func() {
		if err := crew.end(); err != nil {
			x.t.Error(err)
		}
	}()
	for _, p := range pairs() {
		if !x.known.has(p, x.scenario) {
			continue
		}
		if h := x.hang(p.classic()); h != nil {
			x.used.addPair((*difference)(h), p.classic())
			continue
		}
		var got report.Scenario
		var err error
		for try := range triesOf(p, x.scenario) {
			if got, err = crew.run(p, fmt.Sprintf("%s-%s-%s-%d", x.sockets, p.client, p.server, try)); err == nil {
				break
			}
		}
		if err != nil {
			x.t.Errorf("%v: %v", p, err)
			continue
		}
		x.seen[p] = got.Steps
	}
}

func (x *experiment) hang(p pair) *hang { return findHang(hangs, p, x.scenario) }

func findHang(list []hang, p pair, scenario string) *hang {
	for i, h := range list {
		if h.scenario == scenario && h.matches(p) {
			return &list[i]
		}
	}
	return nil
}

// baseline returns what a pair with this library is compared with: what the release
// sees of itself; if it cannot, what the reference sees in our place; if it cannot
// either, what the list says.
func (x *experiment) baseline(p pair) steps {
	own := pair{p.release(), p.release()}
	for _, q := range []pair{own, p.with(reference)} {
		if seen := x.seen[q]; seen != nil {
			return seen
		}
		if h := x.hang(q); h != nil && h.want != nil {
			x.used.addSteps((*difference)(h), h.want)
			return h.want
		}
	}
	return nil
}

func (x *experiment) checkAll(sums *summary) {
	for _, p := range pairs() {
		got := x.seen[p]
		if got == nil {
			continue
		}
		if p.classic().hasOurs() {
			sums.add(p, p.classic().release(), x.check(p, got))
			continue
		}
		for _, release := range []string{p.client, p.server} {
			if base := x.seen[pair{release, release}]; base != nil {
				sums.add(p, release, x.compare(p, base, got))
			}
		}
	}
}

// pairs are all, those with this library first.
func pairs() []pair {
	var without []pair
	with := []pair{{extended, extended}, {extended, declining}}
	for _, r := range releases {
		with = append(with, pair{extended, r.version}, pair{r.version, extended})
	}
	for _, client := range versions() {
		for _, server := range versions() {
			p := pair{client, server}
			if p.hasOurs() {
				with = append(with, p)
			} else {
				without = append(without, p)
			}
		}
	}
	return append(with, without...)
}

// check compares what a pair reports with the baseline, but for the differences that
// are listed. A difference that is listed and does not occur is an error, too, unless
// it is luck what the release reports.
func (x *experiment) check(told pair, got steps) (c count) {
	p := told.classic()
	baseline := x.baseline(p)
	if baseline == nil {
		x.t.Errorf("%v: there is nothing to compare with", told)
		return c
	}
	for _, name := range stepNames(baseline, got) {
		base, step := find(baseline, name), find(got, name)
		wants, rule, kind := only(base), "as "+p.release(), &c.equal
		if w, d := x.listed(better, name, p); len(w) > 0 {
			wants, rule, kind = w, d.rule+": "+d.why, &c.better
			luck, _ := listed(better, x.scenario, name, pair{p.release(), p.release()})
			if len(luck) == 0 && reflect.DeepEqual(wants, only(base)) {
				x.t.Errorf("%s: %v: step %q does not differ any more", rule, told, name)
			}
		} else if w, d := x.listed(asReference, name, p); len(w) > 0 {
			wants, rule, kind = only(find(x.seen[p.with(reference)], name)), d.rule+": "+d.why, &c.asReference
			if reflect.DeepEqual(wants, only(base)) {
				x.t.Errorf("%s: %v: step %q does not differ any more", rule, told, name)
			}
		}
		if told.agrees() {
			step = asClassic(step, slices.Concat(wants, only(base)))
		}
		if !contains(wants, step) {
			x.t.Errorf("%s: %v: got%s\nwant%s", rule, told, format(only(step)), format(wants))
			kind = &c.wrong
		} else if reflect.DeepEqual(step, base) {
			kind = &c.equal
		}
		*kind++
	}
	c.scenarios = 1
	return c
}

// listed returns what a list says of a step that occurred, and notes that it did.
func (x *experiment) listed(list []difference, name string, p pair) (want steps, by *difference) {
	for _, d := range entries(list, x.scenario, name, p) {
		x.used.addPair(d, p)
		x.used.addSteps(d, named(name))
	}
	return listed(list, x.scenario, name, p)
}

// compare counts what of a pair of two releases is as one of them with itself.
func (x *experiment) compare(p pair, baseline, got steps) (c count) {
	for _, name := range stepNames(baseline, got) {
		luck, _ := listed(better, x.scenario, name, p)
		base, step := find(baseline, name), find(got, name)
		if reflect.DeepEqual(base, step) || contains(luck, base) && contains(luck, step) {
			c.equal++
		} else {
			c.different++
		}
	}
	c.scenarios = 1
	return c
}

// asClassic returns a step of two ends in extended mode, whose own errors are statuses that
// wrap what they are in classic mode (B80), as it would be there: if that is one of some.
func asClassic(step report.Step, some steps) report.Step {
	for _, bare := range some {
		wraps := slices.Clone(step.Is)
		for i, is := range wraps {
			if !slices.Contains(bare.Is, is) {
				wraps[i] = strings.TrimPrefix(is, "wraps ")
			}
		}
		if bare.Error == "" || bare.Code != "" || step.Code == "" || !strings.HasPrefix(step.Error, bare.Error) || !slices.Equal(wraps, bare.Is) {
			continue
		}
		step.Error, step.Is, step.Code = bare.Error, bare.Is, ""
		break
	}
	return step
}

func contains(list steps, step report.Step) bool {
	return slices.ContainsFunc(list, func(s report.Step) bool { return reflect.DeepEqual(s, step) })
}
