// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/containerd/ttrpc/integration/reliability/control"
	"github.com/containerd/ttrpc/internal/wire"
)

// cutCases are about frames in pieces.
var cutCases = []testCase{
	{
		name: "split-frames", rules: "B35", run: splitFrames, times: 3, few: 2,
		tried: "a call and a stream, their bytes cut in two at every place and the second piece sent when the first has been read, %d times",
	},
	{
		name: "byte-by-byte", rules: "B35", run: byteByByte, times: 5,
		tried: "a call and a stream, each byte sent when the one before has been read, %d times",
	},
	{
		name: "cut-frames", rules: "B5, B26", run: cutFrames, times: 3, few: 2,
		tried: "connections that are closed after every byte of a call and a stream, %d times each",
	},
	{
		name: "client-leaves", rules: "B26, B40", run: clientLeaves, times: 50, few: 10,
		tried: "clients that close in the middle of whatever a client can do, %d times each",
	},
}

// exchange is a call, and a stream with two messages; it has three answers and an end.
func exchange() []byte {
	var b []byte
	for _, f := range [][]byte{
		request(1, 0, "Echo", zeros(3)),
		request(3, remoteOpen|noData, "EchoStream", nil),
		data(3, 0, zeros(5)),
		data(3, 0, zeros(0)),
		data(3, remoteClosed|noData, nil),
	} {
		b = append(b, f...)
	}
	return b
}

// answered reads what exchange is answered with.
func (r *run) answered(w *link) {
	var messages, calls, ends int
	for range 4 {
		switch a := r.read(w); {
		case a.typ == typeResponse && a.id == 1 && a.code() == 0 && a.payload() == 3:
			calls++
		case a.typ == typeData && a.id == 3 && a.flags == remoteClosed|noData:
			ends++
		case a.typ == typeData && a.id == 3 && a.flags == 0:
			messages++
		}
	}
	r.check(calls == 1 && messages == 2 && ends == 1, "B35: the answers are %d of a call, %d messages, %d ends", calls, messages, ends)
}

func splitFrames(r *run) {
	s := r.server(control.Options{})
	all := exchange()
	for range r.times {
		for i := 1; i < len(all); i++ {
			w := s.dial()
			r.write(w, all[:i])
			r.awaitRead(w)
			r.write(w, all[i:])
			r.answered(w)
			w.Close()
		}
	}
	r.result("all answered")
}

func byteByByte(r *run) {
	s := r.server(control.Options{})
	for range r.times {
		w := s.dial()
		for _, b := range exchange() {
			r.write(w, []byte{b})
			r.awaitRead(w)
		}
		r.answered(w)
		w.Close()
	}
	r.result("all answered")
}

func cutFrames(r *run) {
	s := r.server(control.Options{})
	all := exchange()
	for range r.times {
		for i := range all {
			w := s.dial()
			r.write(w, all[:i])
			w.Close()
		}
	}
	s.serves()
	s.awaitLeft()
	r.result("the process lives, nothing is left of them")
}

// stages are what clients have sent when they leave.
var stages = [][]byte{
	nil,
	request(1, 0, "Wait", zeros(10))[:4],
	request(1, 0, "Wait", zeros(10))[:wire.HeaderLength],
	request(1, 0, "Wait", zeros(10))[:wire.HeaderLength+10],
	request(1, 0, "Wait", zeros(10)),
	request(1, 0, "Bytes", number(4_000_000)),
	request(1, remoteOpen|noData, "Sink", nil),
	append(request(1, remoteOpen|noData, "Sink", nil), data(1, 0, zeros(10))[:8]...),
	append(request(1, remoteOpen|noData, "Sink", nil), data(1, 0, zeros(100))[:50]...),
	append(request(1, remoteOpen|noData, "EchoStream", nil), data(1, remoteClosed|noData, nil)...),
	request(1, remoteClosed, "Flood", number(100)),
	request(1, remoteClosed, "Flood", number(1_000_000)),
}

func clientLeaves(r *run) {
	s := r.server(control.Options{})
	others := s.neighbours(1)
	for range r.times {
		for _, stage := range stages {
			w := s.dial()
			r.write(w, stage)
			r.awaitRead(w)
			w.Close()
		}
	}
	others.end()
	s.serves()
	s.awaitLeft()
	r.result("%d clients left, their handlers' contexts ended, nothing is left of them", r.times*len(stages))
}
