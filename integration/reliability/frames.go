// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand"

	"github.com/containerd/ttrpc/integration/reliability/control"
	"github.com/containerd/ttrpc/internal/wire"
)

// frameCases are about frames that no client should send.
var frameCases = []testCase{
	{
		name: "data-on-unary", rules: "B38", run: dataOnUnary, times: 100,
		tried: "data for a unary call that is running, on %d connections",
	},
	{
		name: "21-bytes", rules: "B38", run: dataAfterRequest, times: 1000,
		tried: "an empty request and a byte of data for it, 21 bytes in all, %d times on one connection",
	},
	{
		name: "ten-zero-bytes", rules: "B37", run: tenZeroBytes, times: 1000,
		tried: "ten zero bytes, as health probes send them, on %d connections",
	},
	{
		name: "length-over-limit", rules: "B7", run: lengthOverLimit, times: 20,
		tried: "a frame of 4 MiB + 1 and a call, %d times on one connection",
	},
	{
		name: "length-16MiB", rules: "B7", run: impossibleLength(16 << 20), times: 100,
		tried: "a header that announces 16 MiB, on %d connections",
	},
	{
		name: "length-4GiB", rules: "B7", run: impossibleLength(1<<32 - 1), times: 100,
		tried: "a header that announces 4 GiB, on %d connections",
	},
	{
		name: "foreign-protocols", rules: "B7", run: foreignProtocols, times: 20,
		tried: "the beginnings of HTTP/1.1, HTTP/2, TLS, SSH and JSON-RPC, %d times each",
	},
	{
		name: "garbage", rules: "B7, B38", run: garbage, times: 2000, few: 300,
		tried: "up to 4 KB of random bytes on %d connections, half of them in frames that are whole",
	},
	{
		name: "every-header", rules: "B37, B38", run: everyHeader, times: 3, few: 2,
		tried: "a frame of every type with all flags and many ids, 4096 in all, and a call after each, %d times",
	},
}

const (
	codeInvalidArgument   = 3
	codeResourceExhausted = 8
	codeUnimplemented     = 12
	codeInternal          = 13
)

// dataOnUnary sends data twice: it is answered once, and the call goes on.
func dataOnUnary(r *run) {
	s := r.server(control.Options{})
	var wires []*link
	for range r.times {
		w := s.dial()
		wires = append(wires, w)
		r.write(w, request(1, 0, "Hold", zeros(10)))
	}
	s.awaitEntered(r.times)
	for _, w := range wires {
		r.write(w, data(1, 0, nil), data(1, 0, zeros(1)))
		a := r.read(w)
		r.check(a.id == 1 && a.code() == codeInvalidArgument, "B38: data was answered with code %d on id %d", a.code(), a.id)
	}
	s.release()
	for _, w := range wires {
		a := r.read(w)
		r.check(a.id == 1 && a.code() == 0 && a.payload() == 10, "B38: the call was answered with code %d, %d bytes", a.code(), a.payload())
		r.call(w, 3)
	}
	r.result("each answered InvalidArgument once, and all %d calls ended as ever", r.times)
}

func dataAfterRequest(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	var all []byte
	for i := range uint32(r.times) {
		all = append(all, frame(2*i+1, typeRequest, 0, nil)...)
		all = append(all, data(2*i+1, 0, []byte{0})...)
	}
	failed := make(chan error, 1)
	go func() { failed <- w.write(r.patience, all) }()
	calls := 0
	for range 2 * r.times { // each request and each data gets an answer
		if r.read(w).code() == codeUnimplemented {
			calls++
		}
	}
	r.must(<-failed, "writing")
	r.check(calls == r.times, "B38: %d of %d calls were answered", calls, r.times)
	r.call(w, uint32(2*r.times+1))
	r.result("the process lives, all answered")
}

func tenZeroBytes(r *run) {
	s := r.server(control.Options{})
	for range r.times {
		w := s.dial()
		r.write(w, make([]byte, wire.HeaderLength))
		a := r.read(w)
		r.check(a.id == 0 && a.code() == codeInvalidArgument, "B37: answered with code %d on id %d", a.code(), a.id)
		r.call(w, 1)
		w.Close()
	}
	r.result("all %d answered InvalidArgument, the connections live", r.times)
}

func lengthOverLimit(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	for i := range uint32(r.times) {
		r.write(w, frame(4*i+1, typeRequest, 0, make([]byte, maxMessage+1)))
		a := r.read(w)
		r.check(a.id == 4*i+1 && a.code() == codeResourceExhausted, "B7: answered with code %d on id %d", a.code(), a.id)
		r.call(w, 4*i+3)
	}
	r.result("each answered ResourceExhausted, the connection lives")
}

// impossibleLength announces n bytes and sends some.
func impossibleLength(n uint32) func(*run) {
	return func(r *run) {
		s := r.server(control.Options{})
		r.ends(s, func(int) []byte { return append(header{n, 1, typeRequest, 0}.bytes(), make([]byte, 1000)...) })
	}
}

// ends sends something on each of many connections, and checks that the server
// ends them, and goes on.
func (r *run) ends(s *subject, first func(i int) []byte) {
	for i := range r.times {
		w := s.dial()
		r.write(w, first(i))
		if a, err := w.read(r.patience); err == nil {
			r.fail("B7: it was answered with code %d", a.code())
		} else if isTimeout(err) {
			r.fail("B7: the connection stays open, and waits")
		}
		w.Close()
	}
	s.serves()
	r.result("each connection ended at once, others served")
}

func foreignProtocols(r *run) {
	texts := []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + fmt.Sprintf("%0189d", 0),
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
		`{"jsonrpc": "2.0", "method": "echo", "id": 1}`,
	}
	s := r.server(control.Options{})
	r.times *= len(texts)
	r.ends(s, func(i int) []byte { return []byte(texts[i%len(texts)]) })
}

func garbage(r *run) {
	random := rand.New(rand.NewSource(1))
	s := r.server(control.Options{})
	others := s.neighbours(1)
	for i := range r.times {
		w := s.dial()
		b := make([]byte, random.Intn(4000))
		random.Read(b)
		if i%2 == 0 {
			b = frame(random.Uint32()%16, wire.Type(random.Intn(5)), uint8(random.Intn(8)), b)
		}
		w.write(r.patience, b) // the server may have seen enough before
		w.Close()
	}
	others.end()
	s.serves()
	r.result("the process lives, others served")
}

// everyHeader sends what may come in any order. What is answered may not be what
// the next call gets for an answer.
func everyHeader(r *run) {
	s := r.server(control.Options{})
	for range r.times {
		for typ := range 256 {
			w := s.dial()
			call := uint32(1001)
			for id := range 16 {
				flags := uint8(id * 0x11)
				r.write(w, frame(uint32(id), wire.Type(typ), flags, nil), request(call, 0, "Echo", zeros(10)))
				for a := r.read(w); a.id != call; a = r.read(w) {
				}
				call += 2
			}
			w.Close()
		}
	}
	r.result("the process lives, all calls answered")
}
