// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command reliability treats servers and clients badly, each a process of its own,
// and tells what became of them: of this library and, in the same run, of the
// released version that it replaces. It prints a table in markdown.
//
//	go run . [-list] [-n TIMES] [CASE…]
//
// -list prints the names of the cases, and after a name the number that -n takes
// the place of. Those without one always run in the same way.
//
// It is run in its own directory, on Linux. The test runs the same cases, with
// smaller numbers, and fails if this library does not keep its promises; of the
// release it only tells.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"
)

func main() {
	log.SetFlags(0)
	list := flag.Bool("list", false, "print the names of all cases, and how often each is run")
	times := flag.Int("n", 0, "how often, by each case's own measure, instead of its number in the list")
	flag.Parse()
	if *list {
		for _, c := range cases {
			if c.times > 0 {
				fmt.Println(c.name, c.times)
			} else {
				fmt.Println(c.name)
			}
		}
		return
	}
	ok, err := drive(flag.Args(), *times)
	if err != nil {
		log.Fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}

// drive runs the named cases, or all, and prints the table. It reports whether
// this library did well.
func drive(names []string, times int) (bool, error) {
	for _, name := range names {
		if !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name }) {
			return false, fmt.Errorf("no case is called %q; -list prints all", name)
		}
	}
	dir, err := os.MkdirTemp("", "reliability")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	theirs, ours, err := build(dir)
	if err != nil {
		return false, err
	}
	fmt.Printf("| case | what was tried | rules | %s | ours | command |\n|---|---|---|---|---|---|\n", theirs.name)
	var count score
	for _, c := range cases {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		n, flags := c.times, ""
		if times > 0 && n > 0 {
			n, flags = times, fmt.Sprintf("-n %d ", times)
		}
		began := time.Now()
		released, own := do(c, theirs, n), do(c, ours, n)
		log.Printf("%s took %.0f s", c.name, time.Since(began).Seconds())
		for _, fault := range own.faults {
			log.Printf("%s: %s", c.name, fault)
		}
		count.add(released, own)
		fmt.Printf("| %s | %s | %s | %s | %s | `go -C integration/reliability run . %s%s` |\n",
			c.name, c.text(n), c.rules, released.cell("**no**: "), own.cell("**FAILED** "), flags, c.name)
	}
	fmt.Printf("\nCases: %d; ours did well in %d, %s in %d of the %d that it has the options for.\n",
		count.all, count.ours, theirs.name, count.theirs, count.all-count.lacking)
	return count.ours == count.all, nil
}

// A score is in how many cases, and in how many of them who did well.
type score struct{ all, ours, theirs, lacking int }

// add adds a case.
func (s *score) add(released, own *run) {
	s.all++
	if len(own.faults) == 0 {
		s.ours++
	}
	switch {
	case released.lacks:
		s.lacking++
	case len(released.faults) == 0:
		s.theirs++
	}
}
