// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/rpc"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// signalCases are about peers that are killed or stopped, clients and servers
// both being subjects of one version.
var signalCases = []testCase{
	{
		name: "server-killed", rules: "B1, B5, B21", run: serverKilled, times: 10, few: 3,
		tried: "a server killed (SIGKILL) under 64 calls and 16 streams of one client, %d times",
	},
	{
		name: "client-killed", rules: "B26", run: clientKilled, times: 10, few: 3,
		tried: "a client killed (SIGKILL) under its 64 calls and 16 streams, another beside it, %d times",
	},
	{
		name: "server-stopped", rules: "B4, B18", run: serverStopped(10), times: 64,
		tried: "a server stopped (SIGSTOP), %d calls of 10 bytes with a deadline; then continued",
	},
	{
		name: "server-stopped-full", rules: "B4, B18", run: serverStopped(1 << 20), times: 64,
		tried: "a server stopped (SIGSTOP), %d calls of 1 MiB with a deadline, more than the socket takes; then continued",
	},
	{
		name: "server-stopped-streams", rules: "B4, B18, B21", run: serverStoppedStreams, times: 16,
		tried: "a server stopped (SIGSTOP), %d streams with a deadline that send 1 MiB after 1 MiB; then continued",
	},
	{
		name: "client-stopped-stream", rules: "B41", run: clientStoppedStream, times: 16,
		tried: "a client stopped (SIGSTOP) while %d handlers send to it without end, others beside it; then killed",
	},
	{
		name: "client-stopped", rules: "B41", run: clientStopped, times: 64, few: 16,
		tried: "a client stopped (SIGSTOP) that has %d answers of 1 MiB to come, others beside it; then continued",
	},
}

// A load is what a client has under way.
type load struct {
	calls, streams       *rpc.Call
	callsEnd, streamsEnd *control.Tally
}

const (
	loadCalls   = 64
	loadStreams = 16
)

// loaded has a client's calls and streams run at a server, whose handlers wait.
func (s *subject) loaded(server *subject) load {
	l := load{callsEnd: new(control.Tally), streamsEnd: new(control.Tally)}
	before := int(server.counters().Entered)
	l.calls = s.asking("Calls", control.Calls{Method: "Wait", Size: 10, Callers: loadCalls, Each: 1}, l.callsEnd)
	l.streams = s.asking("Streams", control.Streams{Method: "EchoStream", Size: 10, Count: loadStreams}, l.streamsEnd)
	server.awaitEntered(before + loadCalls + loadStreams)
	return l
}

func serverKilled(r *run) {
	calls, streams := control.Tally{}, control.Tally{}
	for range r.times {
		s := r.server(control.Options{})
		c := r.client(s.address)
		l := c.loaded(s)
		s.mayDie = true
		s.kill()
		c.await(l.calls)
		c.await(l.streams)
		calls.Merge(*l.callsEnd)
		streams.Merge(*l.streamsEnd)
	}
	r.result("the calls: %s; the streams: %s", calls, streams)
	r.judge(calls.Only(r.times*loadCalls, closed) && streams.Only(r.times*loadStreams, closed), "B5: all should end with the connection")
}

func clientKilled(r *run) {
	s := r.server(control.Options{})
	for range r.times {
		c := r.client(s.address)
		c.loaded(s)
		others := s.neighbours(1)
		c.mayDie = true
		c.kill()
		s.r.until("the handlers' contexts end", func() bool {
			n := s.counters()
			return n.Entered-n.Left <= 1 // the neighbour's
		})
		others.end()
	}
	s.awaitLeft()
	s.serves()
	r.result("the contexts of all %d handlers ended, others served", r.times*(loadCalls+loadStreams))
}

// stop stops the subject. The signal takes effect some time after it was sent.
func (s *subject) stop() {
	s.r.must(s.signal(syscall.SIGSTOP), "stopping")
	s.r.until("the process has stopped", func() bool {
		status, err := os.ReadFile(s.proc("status"))
		return err == nil && strings.Contains(string(status), "\nState:\tT")
	})
}

// serverStopped makes calls whose handlers cannot run.
func serverStopped(size int) func(*run) {
	return func(r *run) {
		s := r.server(control.Options{})
		c := r.client(s.address)
		s.stop()
		t := new(control.Tally)
		calls := c.asking("Calls", control.Calls{Method: "Echo", Size: size, Callers: r.times, Each: 1, Timeout: 300 * time.Millisecond}, t)
		c.await(calls)
		r.result("the calls: %s", t)
		r.judge(t.Only(r.times, "context deadline exceeded"), "B18: the calls should end with their deadlines")
		r.must(s.signal(syscall.SIGCONT), "continuing")
		after := new(control.Tally)
		c.ask("Calls", control.Calls{Method: "Echo", Size: size, Callers: 1, Each: 1}, after)
		r.result("the next call: %s", after)
		r.judge(after.Only(1, control.OK), "B18: the next call should be answered")
		c.ask("CloseClient", 0, new(none))
	}
}

func clientStopped(r *run) {
	s := r.server(control.Options{})
	peak := s.watchMemory()
	c := r.client(s.address)
	t := new(control.Tally)
	calls := c.asking("Calls", control.Calls{Method: "Hold", Size: 1 << 20, Callers: r.times, Each: 1}, t)
	s.awaitEntered(r.times)
	c.stop()
	s.release()
	others := s.neighbours(2)
	s.r.until("the handlers return", func() bool { return s.counters().Left >= int64(r.times) })
	s.r.until("others served", func() bool { return others.calls.Load() >= 1000 })
	others.end()
	r.must(c.signal(syscall.SIGCONT), "continuing")
	c.await(calls)
	r.result("others served; the calls: %s; the server grew by %s", t, mega(peak()))
	r.judge(t.Only(r.times, control.OK), "B19: all calls should be answered")
	c.ask("CloseClient", 0, new(none))
}

// serverStoppedStreams has streams send until their deadline.
func serverStoppedStreams(r *run) {
	s := r.server(control.Options{})
	c := r.client(s.address)
	s.stop()
	t := new(control.Tally)
	streams := c.asking("Streams", control.Streams{Method: "Sink", Size: 1 << 20, Count: r.times, Endless: true, Timeout: 300 * time.Millisecond}, t)
	c.await(streams)
	r.result("the streams: %s", t)
	r.judge(t.Only(r.times, "context deadline exceeded"), "B18: the streams should end with their deadlines")
	r.must(s.signal(syscall.SIGCONT), "continuing")
	after := new(control.Tally)
	c.ask("Calls", control.Calls{Method: "Echo", Size: 10, Callers: 1, Each: 1}, after)
	r.result("the next call: %s", after)
	r.judge(after.Only(1, control.OK), "B18: the next call should be answered")
	c.ask("CloseClient", 0, new(none))
	s.awaitLeft()
}

func clientStoppedStream(r *run) {
	s := r.server(control.Options{})
	peak := s.watchMemory()
	c := r.client(s.address)
	c.asking("Streams", control.Streams{Method: "EndlessEcho", Size: 100_000, Count: r.times}, new(control.Tally))
	s.awaitEntered(r.times)
	r.until("messages arrive", func() bool { return c.counters().Received >= int64(r.times) })
	c.stop()
	others := s.neighbours(2)
	s.r.until("others served", func() bool { return others.calls.Load() >= 1000 })
	others.end()
	memory := s.memory()
	c.mayDie = true
	c.kill()
	s.awaitLeft()
	r.result("others served; %s of heap, the server grew by %s; its handlers ended with the client", mega(memory), mega(peak()))
	r.judge(memory <= maxUnread, "B41: too much heap")
}
