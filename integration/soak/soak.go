// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
)

const (
	lanesPerTarget = 2
	workersPerLane = 8
)

// A soak is one run of mixed traffic.
//
//	steady   a server and connections that last for the whole run
//	churn    the same server; this side closes connections at any time
//	renewed  a server of the same process that is ended and started again
//	mortal   a process that is killed and started again
type soak struct {
	*report
	census
	rng     *rand.Rand // of who steers
	dir     string
	modes   modes
	fault   *fault
	watch   *watchdog
	watched *watched
	without map[string]bool

	steady, churn, renewed, mortal *target
	victim                         *process // serves mortal; nil if remote is false
	victims                        int      // so far

	gate    sync.RWMutex // held for reading by whoever makes calls or trouble
	stopped atomic.Bool
	workers sync.WaitGroup
	ids     atomic.Uint64

	samples []samples
}

// runSoak runs mixed traffic for some time.
func runSoak(o *options, r *report) error {
	s := &soak{
		report:  r,
		rng:     rand.New(rand.NewPCG(o.seed, 0)),
		census:  census{remote: !o.oneProcess},
		dir:     o.dir,
		modes:   o.modes,
		fault:   o.fault,
		watch:   newWatchdog(o.grace),
		without: o.without,
		watched: o.watched,
		steady:  newTarget("steady", lanesPerTarget, o, false),
		churn:   newTarget("churn", lanesPerTarget, o, true),
		renewed: newTarget("renewed", lanesPerTarget, o, false),
		mortal:  newTarget("mortal", lanesPerTarget, o, true),
	}
	if err := s.start(o.seed); err != nil {
		return err
	}
	s.traffic(o)
	s.gate.Unlock()
	s.workers.Wait()
	for _, t := range s.targets() {
		s.failIf(t.closeAll())
	}
	s.checkGrowth()
	return s.end()
}

// traffic lets the workers run between quiet points. The gate is closed before and
// after.
func (s *soak) traffic(o *options) {
	slot := s.watch.slot()
	end := time.Now().Add(o.duration)
	for i := 0; !s.hopeless(); i++ {
		if s.isOver(o, i, end) {
			break
		}
		s.gate.Unlock()
		s.trouble(o.interval)
		s.gate.Lock()
		slot.begin("quiet point", "waiting for what is left of the calls")
		s.failIf(s.quiet())
		slot.end()
	}
	s.stopped.Store(true)
}

// isOver tells whether so many intervals are enough. A soak of a minute or more goes on
// until its growth can be told, on slow machines too.
func (s *soak) isOver(o *options, intervals int, end time.Time) bool {
	if o.intervals > 0 {
		return intervals == o.intervals
	}
	return time.Now().After(end) && (o.duration < time.Minute || len(s.samples) >= minSamples)
}

func (s *soak) targets() []*target {
	if !s.remote {
		return []*target{s.steady, s.churn, s.renewed}
	}
	return []*target{s.steady, s.churn, s.renewed, s.mortal}
}

// start starts servers and workers, and takes the baseline. It leaves the gate closed.
func (s *soak) start(seed uint64) error {
	s.host = newHost(s.dir, s.modes, s.fault, s.watched)
	if s.remote {
		p, err := startProcess(s.dir, s.modes, s.fault, s.watched)
		if err != nil {
			return err
		}
		s.host = p
		if err := s.startVictim(); err != nil {
			return err
		}
	}
	s.watch.start(s.hang)
	steady, err := s.host.do(command{Do: "start", Server: "steady"})
	if err != nil {
		return err
	}
	s.steady.begin(steady.Address)
	s.churn.begin(steady.Address)
	renewed, err := s.host.do(command{Do: "start", Server: "renewed"})
	if err != nil {
		return err
	}
	s.renewed.begin(renewed.Address)

	s.gate.Lock()
	for i, t := range s.targets() {
		for lane := range t.lanes {
			for k := range workersPerLane {
				id := uint64(1 + (i*lanesPerTarget+lane)*workersPerLane + k)
				s.workers.Add(1)
				go s.work(t, lane, rand.New(rand.NewPCG(seed, id)))
			}
		}
	}
	if err := s.still(); err != nil {
		return err
	}
	s.baseline, err = s.settle()
	return err
}

// work makes one call after the other.
func (s *soak) work(t *target, lane int, rng *rand.Rand) {
	defer s.workers.Done()
	mode := t.modes.of(lane)
	mixture := newMixture(mode, t.orphans, s.without)
	slot := s.watch.slot()
	for {
		s.gate.RLock()
		if s.stopped.Load() {
			s.gate.RUnlock()
			return
		}
		k := mixture.draw(rng)
		k.name = string(mode) + ", " + k.name
		slot.begin(t.name, k.name)
		s.attempt(t, lane, k, rng)
		slot.end()
		s.gate.RUnlock()
	}
}

func (s *soak) attempt(t *target, lane int, k kind, rng *rand.Rand) {
	l, err := t.acquire(lane)
	if err != nil {
		s.fail(t.name+", dialing", err.Error())
		time.Sleep(pollInterval) // the next time it will hardly be better
		return
	}
	defer t.release(l)
	outcome, err := k.run(&attempt{link: l, rng: rng, id: s.ids.Add(1)})
	if err == nil {
		err = l.agreed()
	}
	if err != nil {
		s.fail(t.name+", "+k.name, err.Error())
		if errors.Is(err, ttrpc.ErrClosed) {
			t.drop(l)
		}
		return
	}
	s.count(k.name, outcome, 1)
	if outcome == outcomeClosed || outcome == outcomeRefused {
		t.drop(l)
	}
}

// hang ends the program because something takes too long.
func (s *soak) hang(what string) {
	s.report.hang(what)
	showGoroutines()
	s.host.dump()
	if s.victim != nil {
		s.victim.dump()
	}
	s.finish()
	os.RemoveAll(s.dir)
	os.Exit(1)
}

// end ends the processes.
func (s *soak) end() error {
	s.watch.stop()
	if s.victim != nil {
		if err := s.victim.end(); err != nil {
			return fmt.Errorf("the process that was killed and started again: %w", err)
		}
	}
	if err := s.host.end(); err != nil {
		return fmt.Errorf("the server's process: %w", err)
	}
	return nil
}
