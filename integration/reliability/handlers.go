// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// handlerCases are about handlers that do what they should not.
var handlerCases = []testCase{
	{
		name: "panic", rules: "B31", run: handlerPanics,
		tried: "a handler that panics",
	},
	{
		name: "panic-recovered", rules: "B31", run: panicsRecovered, times: 1000, few: 200,
		tried: "handlers of %d calls and as many streams that panic, with the option to recover",
	},
	{
		name: "goexit", rules: "B31", run: goexit, times: 100,
		tried: "handlers that call runtime.Goexit, %d times",
	},
	{
		name: "handlers-ignore-deadline", rules: "B4, B22", run: ignoredDeadline, times: 200,
		tried: "%d handlers that return long after their deadlines",
	},
	{
		name: "handlers-never-return", rules: "B25", run: neverReturns, times: 200,
		tried: "%d handlers that do not return; Shutdown with a deadline, Close; then they return",
	},
}

func handlerPanics(r *run) {
	s := r.server(control.Options{})
	s.mayDie = true
	w := s.dial()
	r.write(w, request(1, 0, "Panic", zeros(10)))
	_, err := w.read(r.patience)
	r.check(err != nil && !isTimeout(err), "B31: the call of a handler that panics is answered")
	r.until("the process ends", s.hasEnded)
	r.result("%s", s.obituary())
	r.judge(strings.HasPrefix(s.obituary(), "process died: panic: the handler's fault"), "B31: that is not the handler's panic")
}

func panicsRecovered(r *run) {
	if r.lacksOptions() {
		return
	}
	s := r.server(control.Options{Recover: true})
	w := s.dial()
	others := s.neighbours(1)
	for i := range uint32(r.times) {
		r.write(w, request(4*i+1, 0, "Panic", zeros(10)), request(4*i+3, remoteOpen|noData, "PanicStream", nil))
		for range 2 {
			a := r.read(w)
			r.check(a.code() == codeInternal, "B31: answered with code %d", a.code())
		}
	}
	others.end()
	r.call(w, uint32(4*r.times+1))
	r.result("all answered with Internal, the process lives, others served")
}

func goexit(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	for i := range uint32(r.times) {
		r.write(w, request(2*i+1, 0, "Goexit", zeros(10)))
		a := r.read(w)
		r.check(a.code() == codeInternal, "B31: answered with code %d", a.code())
	}
	r.call(w, uint32(2*r.times+1))
	r.result("all answered with Internal, the connection lives")
}

func ignoredDeadline(r *run) {
	s := r.server(control.Options{})
	c := r.client(s.address)
	t, after := new(control.Tally), new(control.Tally)
	c.ask("Calls", control.Calls{Method: "Hold", Size: 10, Callers: r.times, Each: 1, Timeout: 200 * time.Millisecond}, t)
	s.release()
	s.awaitLeft()
	c.ask("Calls", control.Calls{Method: "Echo", Size: 10, Callers: 4, Each: 100}, after)
	r.result("the calls: %s; when the handlers had returned: %s", t, after)
	r.judge(t.Only(r.times, "context deadline exceeded"), "B4: the callers should have given up")
	r.judge(after.Only(400, control.OK), "B22: late answers should do no harm")
	c.ask("CloseClient", 0, new(none))
}

func neverReturns(r *run) {
	s := r.server(control.Options{})
	c := r.client(s.address)
	t := new(control.Tally)
	calls := c.asking("Calls", control.Calls{Method: "Hold", Size: 10, Callers: r.times, Each: 1}, t)
	s.awaitEntered(r.times)
	down := s.text("Shutdown", 100*time.Millisecond)
	shut := s.text("Close", none{})
	served := s.text("Served", none{})
	c.await(calls)
	r.check(s.counters().Left == 0, "B25: handlers have returned")
	r.result("Shutdown: %s; Close: %s; Serve: %s; the calls: %s", down, shut, served, t)
	r.judge(down == "context deadline exceeded" && shut == control.OK && served == "ttrpc: server closed" && t.Only(r.times, closed),
		"B25: Shutdown should wait until its deadline, and Close end all")
	s.release()
	s.awaitLeft()
}
