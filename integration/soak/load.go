// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
)

// atWork is how many callers there are, where their number does not matter.
const atWork = 64

// heapSlack is what the heap may grow by from one round to the next.
const heapSlack = 2 << 20

// A load is one command that is about numbers. It is run twice, for the first time
// leaves something in the runtime: descriptors of goroutines, which are never freed.
type load struct {
	*report
	census
	watch   *watchdog
	mode    mode
	seed    uint64
	n       int
	empty   samples // without connections
	address string
	ids     atomic.Uint64
	got     *counter // answers in this round
}

// runLoad runs rounds in each mode.
func runLoad(o *options, r *report, n int, round func(*load) error) error {
	for _, m := range o.modes {
		if err := runLoadIn(m, o, r, n, round); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	return nil
}

// runLoadIn runs rounds between a server that is started for each and clients.
func runLoadIn(m mode, o *options, r *report, n int, round func(*load) error) error {
	p, err := startProcess(o.dir, modes{m}, o.fault, o.watched)
	if err != nil {
		return err
	}
	l := &load{report: r, census: census{host: p, remote: true}, watch: newWatchdog(o.grace), mode: m, seed: o.seed}
	l.watch.start(func(what string) {
		l.hang(what)
		showGoroutines()
		p.dump()
		l.finish()
		os.RemoveAll(o.dir)
		os.Exit(1)
	})
	defer l.watch.stop()
	if o.n > 0 {
		n = o.n
	}
	if err := l.rounds(n, round); err != nil {
		return err
	}
	return p.end()
}

func (l *load) rounds(n int, round func(*load) error) error {
	l.n = min(n, atWork) // what is made once is made
	if err := l.round(round); err != nil {
		return err
	}
	var err error
	if l.baseline, err = l.settle(); err != nil {
		return err
	}
	if l.empty, err = l.take("measure"); err != nil {
		return err
	}
	l.n = n
	before := l.empty
	for i := range 2 {
		if err := l.round(round); err != nil {
			return err
		}
		left, err := l.await()
		for _, text := range left {
			l.fail("left over", text)
		}
		if err != nil {
			return err
		}
		after, err := l.take("measure")
		if err != nil {
			return err
		}
		l.interval(after)
		for who, s := range after {
			if i > 0 && s.Heap > before[who].Heap+heapSlack {
				l.fail("growth", fmt.Sprintf("%s: the heap grew from %s to %s in a round", who, size(before[who].Heap), size(s.Heap)))
			}
		}
		before = after
	}
	return nil
}

// round runs one round, with a server of its own, and compares what the ends have
// counted.
func (l *load) round(round func(*load) error) error {
	r, err := l.host.do(command{Do: "start", Server: "steady"})
	if err != nil {
		return err
	}
	l.address = r.Address
	l.got = new(counter)
	if err := round(l); err != nil {
		return err
	}
	r, err = l.host.do(command{Do: "shutdown", Server: "steady"})
	if err != nil {
		return err
	}
	return checkTally("B25", r.Tally, l.got.get())
}

// dial returns a client of the server.
func (l *load) dial() (*ttrpc.Client, error) {
	conn, err := net.Dial("unix", l.address)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(conn, l.mode.clientOptions()...)
	if err := l.mode.agreed(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// hangUp closes a client for good.
func hangUp(c *ttrpc.Client) error {
	c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return c.UserOnCloseWait(ctx)
}

// each does something n times, by some callers at once.
func (l *load) each(what string, callers int, do func(i int, rng *rand.Rand) error) {
	var next atomic.Int64
	var all sync.WaitGroup
	for k := range min(callers, l.n) {
		all.Add(1)
		go func() {
			defer all.Done()
			slot := l.watch.slot()
			defer slot.free()
			rng := rand.New(rand.NewPCG(l.seed, uint64(k)))
			well := uint64(0)
			for i := int(next.Add(1)) - 1; i < l.n; i = int(next.Add(1)) - 1 {
				slot.begin(string(l.mode), what)
				if err := do(i, rng); err != nil {
					l.fail(string(l.mode)+", "+what, err.Error())
				} else {
					well++
				}
				slot.end()
			}
			l.count(string(l.mode)+", "+what, "as expected", well)
		}()
	}
	all.Wait()
}

// order returns an order of a small answer.
func (l *load) order(rng *rand.Rand) *order {
	return &order{Call: l.ids.Add(1), Seed: rng.Uint64(), Size: uint32(rng.IntN(128)), Must: true}
}

// call makes a call with a small request.
func (l *load) call(c *ttrpc.Client, o *order) error {
	a := attempt{link: &link{client: c}}
	err := a.call(context.Background(), o, int(o.Seed%128))
	if err == nil {
		l.got.add(o.Call)
	}
	return err
}

// price tells what each of n things costs the two processes, beside what they hold
// without.
func (l *load) price(what string) error {
	if l.baseline == nil {
		return nil // the round before the first
	}
	if _, err := l.settle(); err != nil {
		return err
	}
	now, err := l.take("measure")
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s, %d %s at once", l.mode, l.n, what)
	values := map[string]any{"mode": l.mode, "n": l.n, "what": what}
	for _, who := range []string{"client", "server"} {
		s, e := now[who], l.empty[who]
		each := sample{
			Goroutines: s.Goroutines, Descriptors: s.Descriptors,
			Heap: l.share(e.Heap, s.Heap), Stacks: l.share(e.Stacks, s.Stacks), RSS: l.share(e.RSS, s.RSS),
		}
		text += fmt.Sprintf("; %s, for each: heap %d B, stacks %d B, RSS %d B", who, each.Heap, each.Stacks, each.RSS)
		values[who] = each
	}
	l.note(text, values)
	return nil
}

// share is what each of n things has added.
func (l *load) share(before, after uint64) uint64 { return (max(before, after) - before) / uint64(l.n) }
