// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A testCase is one way of treating subjects badly.
type testCase struct {
	name  string
	rules string // what the contract says about it
	tried string // for the table; a %d stands for how often

	times int // how often or how many, by the case's own measure; 0 if it has none
	few   int // the same in tests; 0 means times

	run func(*run)
}

// A version is a build of the subject.
type version struct {
	name string
	path string // of the binary

	// patience is how long anything may take. Nothing that works gets near it;
	// of the release, which is not judged, it is known what hangs.
	patience time.Duration
}

// A run is one case with one version.
type run struct {
	version
	times int
	dir   string // for sockets

	processes []*subject
	listeners []*net.UnixListener
	wires     []*link
	results   []string // in words
	faults    []string // what broke a rule
	lacks     bool     // the version has no options for what the case is about
}

// stop is panicked with when a run cannot go on.
type stop struct{}

// do runs a case, and returns what came of it.
func do(c testCase, v version, times int) *run {
	r := &run{version: v, times: times}
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		r.fault("%v", err)
		return r
	}
	r.dir = dir
	defer os.RemoveAll(dir)
	defer r.killAll()
	r.guarded(func() {
		c.run(r)
		r.lookBehind()
	})
	r.checkRaces()
	return r
}

// guarded calls f, which may end early.
func (r *run) guarded(f func()) {
	defer func() {
		switch e := recover().(type) {
		case nil, stop:
		default:
			panic(e)
		}
	}()
	f()
}

// result adds to what is told of the run.
func (r *run) result(format string, args ...any) {
	r.results = append(r.results, fmt.Sprintf(format, args...))
}

// fault is a result that breaks a rule.
func (r *run) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
	r.result("%s", rule.ReplaceAllString(r.faults[len(r.faults)-1], ""))
}

// rule is what a fault that cites one begins with.
var rule = regexp.MustCompile(`^(B\d+,? ?)+: `)

// check adds a fault unless ok.
func (r *run) check(ok bool, format string, args ...any) {
	if !ok {
		r.fault(format, args...)
	}
}

// judge adds a fault unless ok, whose facts are among the results already.
func (r *run) judge(ok bool, format string, args ...any) {
	if !ok {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// fail is a fault after which the run cannot go on.
func (r *run) fail(format string, args ...any) {
	r.blame(fmt.Sprintf(format, args...))
	panic(stop{})
}

// lacksOptions tells that the version has no options for what a case is about.
func (r *run) lacksOptions() bool {
	r.lacks = r.name == release
	if r.lacks {
		r.result("has no such option")
	}
	return r.lacks
}

// must ends the run unless err is nil.
func (r *run) must(err error, format string, args ...any) {
	if err != nil {
		r.fail("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// blame adds a fault; but if a process has died that says it all.
func (r *run) blame(what string) {
	if p := r.casualty(); p != nil {
		what = p.obituary()
	}
	r.fault("%s", what)
}

// casualty returns a process that has died and was not meant to. One whose
// connections have just been cut gets a moment to be found dead.
func (r *run) casualty() *subject {
	const moment = 200 * time.Millisecond
	for _, p := range r.processes {
		if p.mayDie {
			continue
		}
		select {
		case <-p.ended:
			return p
		case <-time.After(moment):
		}
	}
	return nil
}

// lookBehind closes what the driver has open and sees to it that the subjects
// that live hold no more than at their start.
func (r *run) lookBehind() {
	for _, w := range r.wires {
		w.Close()
	}
	for _, p := range r.processes {
		switch {
		case !p.hasEnded():
			p.awaitBaseline()
		case !p.mayDie:
			r.fail("%s", p.obituary())
		}
	}
}

func (r *run) killAll() {
	for _, l := range r.listeners {
		l.Close()
	}
	for _, w := range r.wires {
		w.Close()
	}
	for _, p := range r.processes {
		p.kill()
	}
}

// checkRaces reports what the race detector found, if the subject has one.
func (r *run) checkRaces() {
	for _, p := range r.processes {
		if log := p.stderr.String(); strings.Contains(log, "WARNING: DATA RACE") {
			r.fault("%s", log)
		}
	}
}

// socket returns a path for a socket.
func (r *run) socket(name string) string { return filepath.Join(r.dir, name) }

// cell is what the table tells of the run; a bad one is marked.
func (r *run) cell(bad string) string {
	if len(r.faults) == 0 {
		return r.String()
	}
	return bad + r.String()
}

// String is what is told of the run.
func (r *run) String() string {
	return strings.ReplaceAll(strings.Join(r.results, "; "), r.dir+"/", "")
}
