// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/ttrpc/conformance/internal/subject"
	"github.com/containerd/ttrpc/conformance/internal/vector"
)

// A Runner plays cases with one peer.
type Runner struct {
	Address string // of a server that runs, or
	Start   string // a command that starts a server, or
	Client  string // a command that starts a client
	Jobs    int    // how many cases at once; each has its own process, if processes are started
	Timeout time.Duration
	// Short has the names of cases that wait for a second only, as they are known to fail.
	Short func(name string) bool
	// Keep keeps a process that has failed a case, if it has not ended. Else the next case gets a
	// new one.
	Keep bool
	// Wrap, if it is not nil, stands between the runner and the peer. Tests of the cases put a
	// peer that does wrong there.
	Wrap func(net.Conn) net.Conn
	// Progress, if it is not nil, is called before each case, not concurrently.
	Progress func(done, all int, c *vector.Case)
}

// A Verdict says what became of a case.
type Verdict struct {
	Case    *vector.Case
	Err     error  // what the peer does wrong, or nil
	Skipped string // why it was not played
	Took    time.Duration
}

// Run plays those of the cases that are for such a peer. The verdicts are in their order.
func (r *Runner) Run(cases []vector.Case) []Verdict {
	peer := vector.Server
	if r.Client != "" {
		peer = vector.Client
	}
	var verdicts []Verdict
	for i := range cases {
		if cases[i].Peer == peer {
			verdicts = append(verdicts, Verdict{Case: &cases[i]})
		}
	}
	var mu sync.Mutex
	next := 0
	take := func() *Verdict {
		mu.Lock()
		defer mu.Unlock()
		if next == len(verdicts) {
			return nil
		}
		v := &verdicts[next]
		if next++; r.Progress != nil {
			r.Progress(next, len(verdicts), v.Case)
		}
		return v
	}
	var jobs sync.WaitGroup
	for range max(1, min(r.Jobs, len(verdicts))) {
		jobs.Go(func() { r.work(take) })
	}
	jobs.Wait()
	return verdicts
}

// work plays cases with one process, or the address.
func (r *Runner) work(take func() *Verdict) {
	var server *subject.Server
	var client *subject.Client
	if r.Client != "" {
		client = &subject.Client{Command: r.Client}
		defer client.Close()
	} else {
		server = &subject.Server{Address: r.Address, Command: r.Start}
		defer server.Close()
	}
	lacks := make(map[string]error)
	for v := take(); v != nil; v = take() {
		begin := time.Now()
		err := r.lacking(v.Case, server, client, lacks)
		if err == nil {
			err = r.play(v.Case, server, client)
		}
		v.Took = time.Since(begin)
		if skip := (Skip{}); errors.As(err, &skip) {
			v.Skipped = skip.Why
			continue
		}
		if v.Err = err; err != nil && !r.Keep {
			r.restart(server, client)
		}
	}
}

// restart ends a process that has failed a case: the next one gets a new one, so that it pays
// for nothing.
func (r *Runner) restart(server *subject.Server, client *subject.Client) {
	if server != nil {
		server.Close()
	} else {
		client.Close()
	}
}

func (r *Runner) session(c *vector.Case, server *subject.Server, client *subject.Client, cut int) *session {
	s := &session{c: c, server: server, client: client, timeout: r.Timeout, cut: cut, wrap: r.Wrap}
	if r.Short != nil && r.Short(c.Name) {
		s.timeout = min(s.timeout, time.Second)
	}
	return s
}

// play plays a case, at all places at which it is to be cut.
func (r *Runner) play(c *vector.Case, server *subject.Server, client *subject.Client) error {
	if !c.Cut {
		s := r.session(c, server, client, -1)
		return s.play()
	}
	for cut, end := 0, 1; cut < end; cut++ {
		s := r.session(c, server, client, cut)
		if err := s.play(); err != nil {
			return fmt.Errorf("cut after %d bytes: %w", cut, err)
		}
		end = s.first
	}
	return nil
}

// Reach sees whether a server can be connected with.
func Reach(address string, timeout time.Duration) error {
	server := &subject.Server{Address: address}
	conn, err := server.Dial(timeout)
	if err != nil {
		return fmt.Errorf("connecting with the server: %w; is it running, and is the address as it has printed it?", err)
	}
	return conn.Close()
}
