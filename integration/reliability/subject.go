// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// interval is how often it is looked whether something has come about of which
// nothing tells.
const interval = 5 * time.Millisecond

// A subject is a process as a case sees it. What its methods cannot do ends the
// run.
type subject struct {
	*process
	r       *run
	address string // of its server, if it has one
	mayDie  bool   // it is no fault if the process ends

	// What it held at its start.
	before control.Stats
	opened int // descriptors
}

// none is the argument or the reply of a method that has none.
type none = struct{}

// start starts a process.
func (r *run) start() *subject {
	p, err := startProcess(r.path)
	r.must(err, "starting a subject")
	s := &subject{process: p, r: r}
	r.processes = append(r.processes, s)
	return s
}

// server starts a process that serves.
func (r *run) server(o control.Options) *subject {
	s := r.start()
	s.address = r.socket(fmt.Sprintf("server%d", len(r.processes)))
	o.Address = s.address
	s.ask("Serve", o, new(none))
	s.takeBaseline()
	return s
}

// client starts a process with a client of the server at address.
func (r *run) client(address string) *subject {
	s := r.start()
	s.takeBaseline()
	s.dialTo(control.Dial{Address: address})
	return s
}

// dialTo has the subject make a client, and returns its number.
func (s *subject) dialTo(d control.Dial) int {
	var number int
	s.ask("Dial", d, &number)
	return number
}

// ask calls a method of the subject.
func (s *subject) ask(method string, args, reply any) {
	s.r.must(s.process.ask(s.r.patience, method, args, reply), "%s", method)
}

// asking calls a method of the subject in the background.
func (s *subject) asking(method string, args, reply any) *rpc.Call {
	return s.control.Go(control.Service+"."+method, args, reply, make(chan *rpc.Call, 1))
}

// await waits for the end of what asking began.
func (s *subject) await(call *rpc.Call) { s.awaitFor(call, s.r.patience) }

func (s *subject) awaitFor(call *rpc.Call, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-call.Done:
		s.r.must(call.Error, "%s", call.ServiceMethod)
	case <-timer.C:
		s.r.fail("%s has not ended within %v", strings.TrimPrefix(call.ServiceMethod, control.Service+"."), limit)
	}
}

// text asks for the text of an error.
func (s *subject) text(method string, args any) string {
	var reply string
	s.ask(method, args, &reply)
	return reply
}

func (s *subject) stats() control.Stats {
	var st control.Stats
	s.ask("Stats", none{}, &st)
	return st
}

// counters are the stats that cost nothing.
func (s *subject) counters() control.Stats {
	var st control.Stats
	s.ask("Counters", none{}, &st)
	return st
}

func (s *subject) release() { s.ask("Release", none{}, new(none)) }

func (s *subject) openFiles() int {
	n, err := s.process.files()
	s.r.must(err, "counting descriptors")
	return n
}

// until waits until something holds.
func (r *run) until(what string, holds func() bool) {
	for deadline := time.Now().Add(r.patience); !holds(); time.Sleep(interval) {
		if time.Now().After(deadline) {
			r.fail("%s: not within %v", what, r.patience)
		}
	}
}

// awaitEntered waits until n handlers were entered.
func (s *subject) awaitEntered(n int) {
	s.r.until(fmt.Sprintf("%d handlers running", n), func() bool { return s.counters().Entered >= int64(n) })
}

// awaitLeft waits until all handlers have returned.
func (s *subject) awaitLeft() {
	s.r.until("all handlers returned", func() bool {
		c := s.counters()
		return c.Left == c.Entered
	})
}

// memory is how much more the subject holds than at its start, in bytes.
func (s *subject) memory() int64 { return max(0, s.stats().Memory-s.before.Memory) }

// watchMemory returns a function that tells by how much the memory of the whole
// process has been larger than now, at most.
func (s *subject) watchMemory() (peak func() int64) {
	s.r.must(s.resetPeak(), "resetting the peak of the memory")
	before, _, err := s.resident()
	s.r.must(err, "reading how much memory there is")
	return func() int64 {
		_, most, err := s.resident()
		s.r.must(err, "reading how much memory there was")
		return max(0, most-before)
	}
}

func (s *subject) takeBaseline() {
	s.before = s.stats()
	s.opened = s.openFiles()
}

// awaitBaseline waits until the subject holds no more than at its start: what is
// on its way out needs a moment.
func (s *subject) awaitBaseline() {
	var goroutines, files int
	for deadline := time.Now().Add(s.r.patience); ; time.Sleep(interval) {
		goroutines = s.counters().Goroutines - s.before.Goroutines
		files = s.openFiles() - s.opened
		if goroutines <= 0 && files <= 0 {
			return
		}
		if time.Now().After(deadline) {
			s.r.fail("left behind: %d goroutines, %d descriptors", max(goroutines, 0), max(files, 0))
		}
	}
}

// dial connects the driver to the subject's server.
func (s *subject) dial() *link {
	w, err := s.tryDial()
	s.r.must(err, "connecting")
	return w
}

func (s *subject) tryDial() (*link, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.address, Net: "unix"})
	for deadline := time.Now().Add(s.r.patience); errors.Is(err, syscall.EAGAIN) && time.Now().Before(deadline); {
		time.Sleep(interval) // the server has not accepted those before
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: s.address, Net: "unix"})
	}
	if err != nil {
		return nil, err
	}
	w := &link{conn}
	s.r.wires = append(s.r.wires, w)
	return w, nil
}

// write, read and call on a link end the run if they fail.

func (r *run) write(w *link, frames ...[]byte) { r.must(w.write(r.patience, frames...), "writing") }

func (r *run) read(w *link) answer {
	a, err := w.read(r.patience)
	r.must(err, "reading an answer")
	return a
}

// call makes a call that has to succeed.
func (r *run) call(w *link, id uint32) { r.must(w.call(r.patience, id, 100), "a call") }

// serves checks that the server answers on a new connection.
func (s *subject) serves() {
	w, err := s.tryDial()
	if err == nil {
		err = w.call(s.r.patience, 1, 100)
	}
	s.r.must(err, "a call on a new connection")
	w.Close()
}

// awaitRead waits until the peer has read all that was written.
func (r *run) awaitRead(w *link) {
	r.until("the peer reads", func() bool {
		n, err := w.unread()
		r.must(err, "asking how much is unread")
		return n == 0
	})
}
