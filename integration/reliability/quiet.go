// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// quietCases are about connections on which little or nothing happens.
var quietCases = []testCase{
	{
		name: "slow-loris", rules: "B41, B43", run: slowLoris, times: 2000, few: 200,
		tried: "%d connections that send a byte a second, 4 clients beside them at full speed",
	},
	{
		name: "idle-connections", rules: "B43", run: idleConnections, times: 10000, few: 1000,
		tried: "%d connections that never send, which may take 16 KB each",
	},
	{
		name: "promised-4MiB", rules: "B43", run: promised, times: 1000, few: 200,
		tried: "%d connections whose header promises 4 MiB, of which 1 KB comes",
	},
	{
		name: "silent-handshake", rules: "B29", run: silentHandshake, times: 100,
		tried: "%d clients that never begin the handshake the server waits for, then one that does",
	},
}

// connect makes as many connections as the case asks for.
func (s *subject) connect() []*link {
	all := make([]*link, s.r.times)
	for i := range all {
		all[i] = s.dial()
	}
	s.awaitFiles(s.opened + len(all))
	return all
}

// awaitFiles waits until the subject has n descriptors open.
func (s *subject) awaitFiles(n int) {
	s.r.until("all connections accepted", func() bool { return s.openFiles() >= n })
}

// lorisBytes is how many bytes are sent; the first ones are a header's.
const lorisBytes = 5

func slowLoris(r *run) {
	s := r.server(control.Options{})
	alone := s.rate(4, time.Second)
	all := s.connect()
	request := request(1, 0, "Echo", zeros(100))
	others := s.neighbours(4)
	for i := range lorisBytes {
		for _, w := range all {
			r.write(w, request[i:i+1])
		}
		time.Sleep(time.Second)
	}
	beside := float64(others.end()) / lorisBytes
	memory := s.memory() / int64(r.times)
	alone = (alone + s.rate(4, time.Second)) / 2 // nothing is sent on the slow ones
	for _, w := range all {
		r.write(w, request[lorisBytes:])
	}
	for _, w := range all {
		a := r.read(w)
		r.check(a.code() == 0 && a.payload() == 100, "B41: the call of a slow client was answered with code %d", a.code())
	}
	r.result("%s for each; the others made %.0f %% of the calls they make alone; all slow calls answered", kilo(memory), 100*beside/alone)
	r.judge(memory <= 64<<10, "B43: too much heap for each connection")
}

func idleConnections(r *run) {
	s := r.server(control.Options{})
	s.connect()
	memory := s.memory() / int64(r.times)
	s.serves()
	r.result("%s for each", kilo(memory))
	r.judge(memory <= 16<<10, "B43: too much heap for each connection")
}

func promised(r *run) {
	const sent = 1000
	s := r.server(control.Options{})
	peak := s.watchMemory()
	all := s.connect()
	for _, w := range all {
		r.write(w, header{maxMessage, 1, typeRequest, 0}.bytes(), make([]byte, sent))
	}
	for _, w := range all {
		r.awaitRead(w)
	}
	memory := s.memory() / int64(r.times)
	s.serves()
	r.result("%s of heap for each; the process grew by %s", kilo(memory), mega(peak()))
	r.judge(memory <= 64<<10, "B43: too much heap for each connection")
}

func silentHandshake(r *run) {
	s := r.server(control.Options{Handshake: true, HandshakeTimeout: 2 * time.Second})
	for range r.times {
		s.dial()
	}
	w := s.dial()
	r.write(w, []byte{control.Hello})
	r.must(w.call(r.patience, 1, 100), "B29: a call after a handshake")
	r.result("the one that speaks is served")
	r.until("B29: silent connections closed", func() bool { return s.openFiles() <= s.opened+1 })
	r.result("the silent ones are closed after the timeout")
}
