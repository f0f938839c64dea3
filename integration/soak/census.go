// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"time"
)

const (
	// settleTime is how long nothing may change for things to be at rest. The
	// library keeps goroutines for less than that.
	settleTime = 3 * time.Second

	// quietLimit is how long what is on its way out may take to go: handlers that
	// ignore their context, goroutines that the library keeps for a while.
	quietLimit = 20 * time.Second

	// pollInterval is how often that is looked at. Nothing signals that a goroutine
	// has ended.
	pollInterval = 20 * time.Millisecond
)

// A samples is one of each process, by name.
type samples map[string]*sample

// A census counts what the processes of a run hold, and compares it with what they
// held at the beginning.
type census struct {
	host     controller
	remote   bool // the host is another process
	baseline samples
	shown    bool // the goroutines were shown, which is done once
}

// take has all processes count, or measure, what they hold.
func (c *census) take(do string) (samples, error) {
	all := samples{"client": count()}
	if do == "measure" {
		all["client"] = measure()
	}
	if c.remote {
		r, err := c.host.do(command{Do: do})
		if err != nil {
			return nil, err
		}
		all["server"] = r.Sample
	}
	return all, nil
}

// settle returns the counts once they have not changed for a while.
func (c *census) settle() (samples, error) {
	var last samples
	since := time.Now()
	for deadline := since.Add(quietLimit); time.Since(since) < settleTime; time.Sleep(pollInterval) {
		now, err := c.take("count")
		if err != nil {
			return nil, err
		}
		if last == nil || len(differences(last, now)) > 0 {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("goroutines and descriptors do not stop to change")
		}
	}
	return last, nil
}

// differences returns what is not as it was.
func differences(was, now samples) []string {
	var texts []string
	for who, n := range now {
		if w := was[who]; w.Goroutines != n.Goroutines || w.Descriptors != n.Descriptors {
			texts = append(texts, fmt.Sprintf("%s: %d goroutines and %d descriptors, want %d and %d as at the beginning",
				who, n.Goroutines, n.Descriptors, w.Goroutines, w.Descriptors))
		}
	}
	return texts
}

// await waits until goroutines and descriptors are what they were in the beginning,
// and no handler of the servers named runs. If that does not come true it returns
// what is wrong, and what is now is the new beginning.
func (c *census) await(servers ...string) ([]string, error) {
	for deadline := time.Now().Add(quietLimit); ; time.Sleep(pollInterval) {
		now, err := c.take("count")
		if err != nil {
			return nil, err
		}
		left := differences(c.baseline, now)
		for _, name := range servers {
			r, err := c.host.do(command{Do: "state", Server: name})
			if err != nil {
				return nil, err
			}
			if r.Active != 0 {
				left = append(left, fmt.Sprintf("%s: %d handlers still run", name, r.Active))
			}
		}
		if len(left) == 0 {
			return nil, nil
		}
		if time.Now().After(deadline) {
			c.baseline = now
			return left, c.show()
		}
	}
}

// show shows all goroutines, once.
func (c *census) show() error {
	if c.shown {
		return nil
	}
	c.shown = true
	showGoroutines()
	if !c.remote {
		return nil
	}
	_, err := c.host.do(command{Do: "show"})
	return err
}

func showGoroutines() { pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) }

// checkTally compares the calls that a server has answered with the answers that have
// arrived.
func checkTally(rule string, server, client tally) error {
	if server == client {
		return nil
	}
	return fmt.Errorf("%s: the server has answered %d calls, %d answers have arrived (sums %#x and %#x)",
		rule, server.Calls, client.Calls, server.Sum, client.Sum)
}
