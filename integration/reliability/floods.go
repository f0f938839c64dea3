// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// floodCases are about clients that send much, or read nothing.
var floodCases = []testCase{
	{
		name: "rejected-flood", rules: "B25, B37, B38", run: rejectedFlood, times: 1_000_000, few: 400_000,
		tried: "%d frames that are rejected (even ids, ids not active, unknown types, over the limit), answers read only once the server reads no more",
	},
	{
		name: "unread-small", rules: "B25", run: unread("Echo", zeros(2100), 0), times: 50_000, few: 30_000,
		tried: "a client that makes %d calls of 2 KB and reads no answer, then a call of another, Shutdown, and Close",
	},
	{
		name: "unread-large", rules: "B25", run: unread("Bytes", number(1<<20), 0), times: 1000, few: 100,
		tried: "a client that makes %d calls whose answers are 1 MiB and reads no answer, no cap on handlers, then the same",
	},
	{
		name: "unread-large-capped", rules: "B25, B32, B41", run: unread("Bytes", number(1<<20), 8), times: 1000, few: 100,
		tried: "a client that makes %d calls whose answers are 1 MiB and reads no answer, 8 handlers at once, then the same",
	},
	{
		name: "read-at-last", rules: "B19", run: readAtLast, times: 100_000, few: 20_000,
		tried: "a client that makes %d calls of 1 KB and reads the answers only once the server reads no more",
	},
	{
		name: "unread-stream", rules: "B41", run: unreadStream, times: 20_000,
		tried: "%d messages of 8 KB on a stream whose handler receives none, and calls on the same connection",
	},
}

// A pump writes in the background and tells how far it has come.
type pump struct {
	written atomic.Int64 // frames
	ended   chan error
}

// pumping writes n frames, made in batches by batch, as fast as the peer takes
// them. The end of the run ends it.
func pumping(w *link, n int, batch func(i int) []byte) *pump {
	p := &pump{ended: make(chan error, 1)}
	go func() {
		var buf bytes.Buffer
		for i := 0; i < n; {
			buf.Reset()
			from := i
			for ; i < n && buf.Len() < 32<<10; i++ {
				buf.Write(batch(i))
			}
			if _, err := w.Write(buf.Bytes()); err != nil {
				p.ended <- err
				return
			}
			p.written.Add(int64(i - from))
		}
		p.ended <- nil
	}()
	return p
}

// moment is how long nothing happens where nothing is expected to happen any
// more. If something does later, the case measures too little.
const moment = time.Second

// awaitStall waits until no more handlers are entered, and returns how many were.
func (s *subject) awaitStall() int64 {
	for at := s.counters().Entered; ; {
		time.Sleep(moment)
		now := s.counters().Entered
		if now == at {
			return now
		}
		at = now
	}
}

// awaitStall waits until all is written, or nothing more for a moment, which
// means that the peer does not read any more. It returns how much was written.
func (p *pump) awaitStall() int64 {
	for at := p.written.Load(); ; {
		select {
		case err := <-p.ended:
			p.ended <- err
			return p.written.Load()
		case <-time.After(moment):
		}
		now := p.written.Load()
		if now == at {
			return now
		}
		at = now
	}
}

// maxUnread is how much heap a connection may take up whose peer reads or whose
// handlers receive nothing: twice the default StreamQueue.ConnectionBytes.
const maxUnread = 2 * 32 << 20

// rejected is the i-th of the frames that are rejected, and whether it is
// answered.
func rejected(i int) (frame []byte, answered bool) {
	id := uint32(2*i + 1)
	switch {
	case i%50_000 == 0:
		return append(header{maxMessage + 1, id, typeRequest, 0}.bytes(), make([]byte, maxMessage+1)...), true
	case i%4 == 0:
		return header{0, id, typeData, 0}.bytes(), true
	case i%4 == 1:
		return header{0, id + 1, typeRequest, 0}.bytes(), true
	case i%4 == 2:
		return header{0, id + 1, typeData, 0}.bytes(), true
	}
	return header{0, id, 200, 0}.bytes(), false
}

func rejectedFlood(r *run) {
	s := r.server(control.Options{})
	want := 0
	for i := range r.times {
		if _, ok := rejected(i); ok {
			want++
		}
	}
	peak := s.watchMemory()
	w := s.dial()
	flood := pumping(w, r.times, func(i int) []byte { f, _ := rejected(i); return f })
	n := flood.awaitStall()
	others := s.neighbours(2)
	memory := s.memory()
	for range want {
		if a := r.read(w); a.code() != codeInvalidArgument && a.code() != codeResourceExhausted {
			r.fault("B38: answered with code %d", a.code())
		}
	}
	r.must(<-flood.ended, "writing")
	others.end()
	r.call(w, uint32(2*r.times+1))
	r.result("%d frames taken before answers were read; then %s of heap; the process grew by %s; all %d answers arrived", n, mega(memory), mega(peak()), want)
	r.judge(memory <= maxUnread, "B41: too much heap")
}

// unread makes calls and reads no answer. What handlers that run at once hold is
// not bounded without a cap on them.
func unread(method string, payload []byte, handlers int) func(*run) {
	return func(r *run) {
		if handlers > 0 && r.lacksOptions() {
			return
		}
		s := r.server(control.Options{MaxHandlers: handlers})
		peak := s.watchMemory()
		w := s.dial()
		flood := pumping(w, r.times, func(i int) []byte { return request(uint32(2*i+1), 0, method, payload) })
		flood.awaitStall()
		n := s.awaitStall()
		memory := s.memory()
		s.serves()
		r.result("%d calls run, %s of heap, the process grew by %s", n, mega(memory), mega(peak()))
		down := s.text("Shutdown", 100*time.Millisecond)
		s.text("Close", none{})
		served := s.text("Served", none{})
		s.awaitLeft()
		r.result("Shutdown: %s, Close ends all", down)
		r.check(down == "context deadline exceeded", "B25: Shutdown has not waited for the answers")
		r.check(served == "ttrpc: server closed", "B24: Serve: %s", served)
		r.judge(method == "Bytes" && handlers == 0 || memory <= maxUnread, "B41: too much heap")
	}
}

func readAtLast(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	flood := pumping(w, r.times, func(i int) []byte { return request(uint32(2*i+1), 0, "Echo", zeros(1000)) })
	n := flood.awaitStall()
	lost := r.times
	for range r.times {
		if a := r.read(w); a.code() == 0 && a.payload() == 1000 {
			lost--
		}
	}
	r.must(<-flood.ended, "writing")
	r.result("%d calls taken before answers were read; %d of %d answers lost", n, lost, r.times)
	r.judge(lost == 0, "B19: all calls should be answered")
}

// What a stream gets that nobody receives from. So much of it comes within the
// queue's patience, even with the race detector, that only the cap on a connection
// bounds it.
const (
	unreadSize = 8000 // bytes
	lookEvery  = 10   // after as many hundreds of messages the heap is looked at
)

// unreadStream sends a call after every hundred messages, and waits for its
// answer.
func unreadStream(r *run) {
	const every = 100
	s := r.server(control.Options{})
	w := s.dial()
	peak, memory := s.watchMemory(), int64(0)
	r.write(w, request(1, remoteOpen|noData, "Ignore", nil))
	s.awaitEntered(1)
	hundred := bytes.Repeat(data(1, 0, zeros(unreadSize)), every)
	var longest time.Duration
	came, taken := control.Tally{}, 0 // for the stream; before any of that
	for i := range uint32(r.times / every) {
		began := time.Now()
		r.write(w, hundred, request(3+2*i, 0, "Echo", zeros(10)))
		for a := r.read(w); a.id != 3+2*i; a = r.read(w) {
			came[a.ending()]++
		}
		longest = max(longest, time.Since(began))
		if came.Total() == 0 {
			taken += every * unreadSize
		}
		if i%lookEvery == 0 {
			memory = max(memory, s.memory())
		}
	}
	memory = max(memory, s.memory())
	s.release()
	s.awaitLeft()
	r.write(w, request(uint32(r.times+1), 0, "Echo", zeros(10)))
	for a := r.read(w); a.id == 1; a = r.read(w) {
		came[a.ending()]++
	}
	r.result("all calls answered, the longest after %.1f s; after %s the stream was answered: %s; at most %s of heap, the process grew by %s",
		longest.Seconds(), mega(int64(taken)), came, mega(memory), mega(peak()))
	r.judge(came.Only(1, "ResourceExhausted"), "B40, B41: the stream should end once, with ResourceExhausted")
	r.judge(taken <= maxUnread && memory <= maxUnread, "B41: too much heap")
}
