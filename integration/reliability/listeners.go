// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// listenerCases are about what can happen to a listener.
var listenerCases = []testCase{
	{
		name: "descriptors-exhausted", rules: "B24", run: descriptorsExhausted, times: 50,
		tried: "a server that has no descriptors left for %d connections, calls on one that it has; then those connections closed",
	},
	{
		name: "socket-file-removed", rules: "B24, B25", run: socketFileRemoved,
		tried: "a server's socket removed from the file system, then Shutdown",
	},
	{
		name: "listener-closed", rules: "B24", run: listenerClosed,
		tried: "a listener closed under Serve, then calls on a connection, and Shutdown",
	},
}

func descriptorsExhausted(r *run) {
	const spare = 10
	s := r.server(control.Options{})
	kept := s.dial()
	r.call(kept, 1)
	limit := s.openFiles() + spare
	r.must(unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: 20000}, nil), "lowering the limit")
	var all []*link
	for range r.times {
		all = append(all, s.dial())
	}
	s.awaitFiles(limit)
	for i := range uint32(1000) {
		r.call(kept, 3+2*i)
	}
	r.result("calls on the connection that there is are answered")
	for _, w := range all {
		w.Close()
	}
	s.serves()
	r.result("then Serve accepts again")
}

func socketFileRemoved(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	r.call(w, 1)
	r.must(os.Remove(s.address), "removing the socket")
	r.call(w, 3)
	if _, err := s.tryDial(); err == nil {
		r.fail("a socket that is not there can be connected to")
	}
	s.ends(w)
}

// ends shuts the server down while one connection is open.
func (s *subject) ends(w *link) {
	down := s.text("Shutdown", 0)
	s.r.check(down == control.OK, "B25: Shutdown: %s", down)
	_, err := w.read(s.r.patience)
	s.r.check(err != nil && !isTimeout(err), "B25: the connection is not closed: %v", err)
	s.r.result("connection served until Shutdown; Serve: %s", s.text("Served", none{}))
}

func listenerClosed(r *run) {
	s := r.server(control.Options{})
	w := s.dial()
	r.call(w, 1)
	s.ask("CloseListener", none{}, new(none))
	served := s.text("Served", none{})
	r.check(served != control.OK && served != "ttrpc: server closed", "B24: Serve has to return the listener's error, and returned: %s", served)
	r.call(w, 3)
	s.ends(w)
}
