// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/containerd/ttrpc/integration/reliability/control"
)

// streamCases are about very many streams on one connection.
var streamCases = []testCase{
	{
		name: "streams-held", rules: "B21", run: heldStreams, times: 100_000, few: 5000,
		tried: "one connection that has %d streams open at once, their handlers waiting",
	},
	{
		name: "million-streams", rules: "B21, B40", run: manyStreams, times: 1_000_000, few: 20_000,
		tried: "one connection that opens %d streams and closes its side of each at once",
	},
	{
		name: "million-streams-capped", rules: "B32", run: cappedStreams, times: 1_000_000, few: 50_000,
		tried: "one connection that opens %d streams that stay open, 1000 handlers at once",
	},
}

// endsOf reads frames until n streams have ended, and counts the codes with
// which they did.
func (r *run) endsOf(w *link, n int) map[int]int {
	codes := map[int]int{}
	for range n {
		a := r.read(w)
		if a.typ == typeData && a.flags == remoteClosed|noData {
			codes[0]++
		} else {
			codes[a.code()]++
		}
	}
	return codes
}

func heldStreams(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	pumping(w, r.times, func(i int) []byte { return request(uint32(2*i+1), remoteOpen|noData, "Ignore", nil) })
	s.awaitEntered(r.times)
	memory := s.memory() / int64(r.times)
	s.serves()
	s.release()
	codes := r.endsOf(w, r.times)
	s.awaitLeft()
	r.result("%s for each; %d ended in order when their handlers returned", kilo(memory), codes[0])
	r.check(codes[0] == r.times, "B40: how they ended, by code: %v", codes)
	r.result("%s is left", mega(s.leftBy(w)))
}

// leftBy closes a connection and returns how much memory is left behind.
func (s *subject) leftBy(w *link) int64 {
	w.Close()
	s.awaitBaseline()
	return s.memory()
}

func manyStreams(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	peak := s.watchMemory()
	pumping(w, r.times, func(i int) []byte {
		id := uint32(2*i + 1)
		return append(request(id, remoteOpen|noData, "EchoStream", nil), data(id, remoteClosed|noData, nil)...)
	})
	codes := r.endsOf(w, r.times)
	s.awaitLeft()
	r.result("%d ended in order; the process grew by %s; %s is left", codes[0], mega(peak()), mega(s.leftBy(w)))
	r.check(codes[0] == r.times, "B40: how they ended, by code: %v", codes)
}

func cappedStreams(r *run) {
	const handlers = 1000
	if r.lacksOptions() {
		return
	}
	s := r.server(control.Options{MaxHandlers: handlers})
	w := s.dial()
	peak := s.watchMemory()
	flood := pumping(w, r.times, func(i int) []byte { return request(uint32(2*i+1), remoteOpen|noData, "Ignore", nil) })
	refused := r.endsOf(w, r.times-handlers)
	r.must(<-flood.ended, "writing")
	s.awaitEntered(handlers)
	memory := s.memory()
	s.serves()
	s.release()
	held := r.endsOf(w, handlers)
	s.awaitLeft()
	r.result("%d refused with ResourceExhausted, %d ended in order; %s of heap, the process grew by %s", refused[codeResourceExhausted], held[0], mega(memory), mega(peak()))
	r.check(refused[codeResourceExhausted] == r.times-handlers && held[0] == handlers, "B32: how they ended, by code: %v; %v", refused, held)
	r.judge(memory <= handlers*16<<10, "B32: too much heap for %d handlers", handlers)
}
