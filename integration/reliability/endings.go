// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
	"github.com/containerd/ttrpc/internal/wire"
)

// endingCases are about Shutdown and Close, with everything else going on.
var endingCases = []testCase{
	{
		name: "shutdown-race", rules: "B25", run: shutdownLosesNothing(control.Rounds{Ends: []string{control.Shutdown}}), times: 1000, few: 100,
		tried: "Shutdown under calls, streams and new connections, %d rounds",
	},
	{
		name: "shutdown-handshake-race", rules: "B25, B29", times: 1000, few: 100,
		run:   shutdownLosesNothing(control.Rounds{Ends: []string{control.Shutdown, control.Shutdown}, Handshake: true}),
		tried: "two Shutdowns under the same and clients that never begin the handshake, %d rounds",
	},
	{
		name: "shutdown-half-frames", rules: "B25", run: shutdownHalfFrames, times: 100,
		tried: "Shutdown while %d connections each are silent, within a header, at its end, and within a request",
	},
	{
		name: "shutdown-endless-calls", rules: "B25", run: shutdownEndless, times: 4,
		tried: "Shutdown while %d clients call without end, and without waiting for answers",
	},
	{
		name: "close-race", rules: "B24, B25", run: everythingRaces(control.Rounds{Ends: []string{control.Close}}), times: 1000, few: 100,
		tried: "Close under calls, streams and new connections, %d rounds",
	},
	{
		name: "everything-race", rules: "B24, B25", times: 1000, few: 100,
		run: everythingRaces(control.Rounds{Handshake: true, Ends: []string{
			control.Shutdown, control.ShutdownSoon, control.ShutdownSoon, control.Close, control.Close, control.CloseClients,
		}}),
		tried: "three Shutdowns, two of which are cancelled, two Closes, and clients that close, under the same, %d rounds",
	},
}

// Outcomes of calls that a server's end may have.
const (
	closed      = "ttrpc: closed"
	unavailable = "rpc error: code = Unavailable desc = ttrpc: server closed"
)

const (
	portion    = 32 // rounds that the subject is asked for at a time
	enough     = 10 // rounds that hang, after which no more are run
	worthwhile = 10 // of so many rounds there has to be time for one, lest a run show nothing
)

// race runs all rounds, or as many as there is time for, and returns what came of
// them and how many have ended.
func (r *run) race(o control.Rounds) (sum control.Raced, ended int) {
	s := r.start()
	s.takeBaseline()
	o.Dir, o.Limit = r.dir, r.patience
	sum = control.Raced{Calls: control.Tally{}, Ends: control.Tally{}, Serves: control.Tally{}}
	for late := time.Now().Add(3 * r.patience); o.To < r.times && sum.Hung < enough && time.Now().Before(late); {
		o.From, o.To = o.To, min(o.To+portion, r.times)
		var part control.Raced
		call := s.asking("Rounds", o, &part)
		s.awaitFor(call, portion*o.Limit)
		sum.Hung += part.Hung
		sum.Calls.Merge(part.Calls)
		sum.Ends.Merge(part.Ends)
		sum.Serves.Merge(part.Serves)
		sum.Ran += part.Ran
		sum.Lost += part.Lost
	}
	ended = o.To - sum.Hung
	r.result("%d of %d rounds hung", sum.Hung, o.To)
	if o.To < r.times {
		r.result("%d were not run", r.times-o.To)
	}
	if ended == 0 {
		r.result("no round ended")
	}
	if sum.Hung > 0 {
		s.mayDie = true // nobody asks what else of them is left
		s.kill()
	}
	r.judge(sum.Hung == 0, "B25: rounds did not end within %v", o.Limit)
	r.judge(sum.Hung > 0 || worthwhile*o.To >= r.times, "only %d of %d rounds were run", o.To, r.times)
	return sum, ended
}

func shutdownLosesNothing(o control.Rounds) func(*run) {
	return func(r *run) {
		got, ended := r.race(o)
		if ended == 0 {
			return
		}
		r.result("in those that ended %d of %d answers lost, Shutdown: %s", got.Lost, got.Ran, got.Ends)
		r.check(got.Lost == 0, "B25: the calls: %s", got.Calls)
		r.judge(got.Ends.Only(ended*endsOfServer(o), control.OK), "B25: each Shutdown should succeed")
		r.checkRace(got, ended)
	}
}

// shutdownHalfFrames has no call that the server has received.
func shutdownHalfFrames(r *run) {
	s := r.server(control.Options{})
	whole := request(1, 0, "Hold", zeros(10))
	for range r.times {
		for _, n := range []int{0, 4, wire.HeaderLength, wire.HeaderLength + 5} {
			w := s.dial()
			r.write(w, whole[:n])
			r.awaitRead(w)
		}
	}
	s.awaitFiles(s.opened + 4*r.times)
	down := s.text("Shutdown", 0)
	r.result("Shutdown: %s", down)
	r.judge(down == control.OK, "B25: Shutdown should succeed")
}

// shutdownEndless has clients that do not stop before they are cut off. What
// they were answered is read, so that the server can write.
func shutdownEndless(r *run) {
	s := r.server(control.Options{})
	var pumps []*pump
	for range r.times {
		w := s.dial()
		pumps = append(pumps, pumping(w, 1<<30, func(i int) []byte { return request(uint32(2*i+1), 0, "Echo", zeros(10)) }))
		go io.Copy(io.Discard, w)
	}
	s.awaitEntered(10_000)
	down := s.text("Shutdown", 0)
	r.result("Shutdown: %s", down)
	r.judge(down == control.OK, "B25: Shutdown should succeed")
	for _, p := range pumps {
		<-p.ended // with an error, for the connection is closed
	}
}

func everythingRaces(o control.Rounds) func(*run) {
	return func(r *run) {
		got, ended := r.race(o)
		if ended == 0 {
			return
		}
		r.result("in those that ended all %d calls ended, Shutdown and Close: %s", got.Calls.Total(), got.Ends)
		r.judge(got.Ends.Only(ended*endsOfServer(o), control.OK, "context deadline exceeded"), "B25: each should succeed, or have no time")
		r.checkRace(got, ended)
	}
}

// endsOfServer is how many outcomes a round has in Raced.Ends: what is done to
// clients has none.
func endsOfServer(o control.Rounds) int {
	n := 0
	for _, end := range o.Ends {
		if end != control.CloseClients {
			n++
		}
	}
	return n
}

// checkRace checks how calls ended, and Serve. A round's end begins when a call
// has been answered, so none can do without.
func (r *run) checkRace(got control.Raced, ended int) {
	r.check(got.Calls.Only(got.Calls.Total(), control.OK, closed, unavailable), "B1, B25: how calls ended: %s", got.Calls)
	answered := got.Ran - got.Lost
	r.check(answered >= int64(ended) && got.Calls[control.OK] == int(answered), "B1: %d answers came in %d rounds; how calls ended: %s", answered, ended, got.Calls)
	r.check(got.Serves.Only(ended, "ttrpc: server closed"), "B24: Serve returned: %s", got.Serves)
}
