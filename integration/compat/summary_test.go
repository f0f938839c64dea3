// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
)

// A count says how many steps of a pair are as a release's with itself.
type count struct {
	scenarios int
	equal     int

	// Of this library: not equal, but as the list says, or as nothing says.
	better, asReference, wrong int

	// Of two releases, of which nothing is asked.
	different int
}

func (c count) steps() int { return c.equal + c.better + c.asReference + c.wrong + c.different }

func (c *count) add(d count) {
	c.scenarios += d.scenarios
	c.equal += d.equal
	c.better += d.better
	c.asReference += d.asReference
	c.wrong += d.wrong
	c.different += d.different
}

// A summary has the counts of all pairs, each by the release to which it is compared.
type summary struct {
	mu     sync.Mutex
	counts map[string]map[pair]*count
}

func newSummary() *summary { return &summary{counts: map[string]map[pair]*count{}} }

func (s *summary) add(p pair, release string, c count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[release] == nil {
		s.counts[release] = map[pair]*count{}
	}
	if s.counts[release][p] == nil {
		s.counts[release][p] = new(count)
	}
	s.counts[release][p].add(c)
}

// String shows two tables: of this library alone, and of every version in a
// release's place.
func (s *summary) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "client\tserver\tcompared with\tscenarios\tsteps\tequal\tbetter\tas "+reference+"\twrong\t\n")
	for _, p := range pairs() {
		release := p.classic().release()
		if c := s.counts[release][p]; c != nil && p.classic().hasOurs() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", p.client, p.server, release,
				c.scenarios, c.steps(), c.equal, c.better, c.asReference, c.wrong)
		}
	}
	w.Flush()
	fmt.Fprint(&b, "\nSteps that are as if the release talked to itself, of all steps\n")
	for _, role := range []string{"client", "server"} {
		fmt.Fprintf(w, "%s\t", role)
		for _, r := range releases {
			fmt.Fprintf(w, "%s\t", r.version)
		}
		fmt.Fprintln(w)
		for _, newcomer := range versions() {
			fmt.Fprintf(w, "%s\t", newcomer)
			for _, r := range releases {
				p := pair{newcomer, r.version}
				if role == "server" {
					p = pair{r.version, newcomer}
				}
				fmt.Fprintf(w, "%s\t", s.share(p, r.version))
			}
			fmt.Fprintln(w)
		}
		w.Flush()
	}
	return b.String()
}

func (s *summary) share(p pair, release string) string {
	c := s.counts[release][p]
	if c == nil || p.client == p.server {
		return "-"
	}
	return fmt.Sprintf("%d/%d", c.equal, c.steps())
}
