// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/containerd/ttrpc/integration/compat/report"
)

// A crew are the processes that run one scenario with all pairs, one for each of this
// library's programs and each role: a process with the race detector takes longer to start
// than most scenarios. A server's process has a new server for each pair. Releases leave
// connections and goroutines behind, and have new processes for each pair.
type crew struct {
	scenario string
	workers  map[string]*worker // by role and program
}

func newCrew(scenario string) *crew { return &crew{scenario, map[string]*worker{}} }

// A worker answers each line that it is given with one.
type worker struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc // has it show its goroutines and end
	in     io.WriteCloser
	out    *bufio.Reader
	log    bytes.Buffer // complete when the process has ended
}

// worker returns the one of a program and role, and starts it if there is none.
func (c *crew) worker(program string, role ...string) (*worker, error) {
	name := role[0] + " " + program
	if w := c.workers[name]; w != nil {
		return w, nil
	}
	w := new(worker)
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.cmd = peer(ctx, program, &w.log, role...)
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	w.in, w.out = in, bufio.NewReader(out)
	c.workers[name] = w
	return w, nil
}

// ask returns the line that answers another.
func (w *worker) ask(line string) (answer []byte, err error) {
	if _, err := fmt.Fprintln(w.in, line); err != nil {
		return nil, err
	}
	return w.out.ReadBytes('\n')
}

// dismiss waits for the end of a worker, if there is one, which is given no more lines.
func (c *crew) dismiss(name string) error {
	w := c.workers[name]
	if w == nil {
		return nil
	}
	delete(c.workers, name)
	w.in.Close()
	defer w.cancel()
	return w.cmd.Wait()
}

// run runs the scenario with a pair. Its error holds all that the two have written; they
// end with it, so that the next pair has new ones.
func (c *crew) run(p pair, socket string) (got report.Scenario, err error) {
	clientProgram, serverProgram := p.programs()
	server, err := c.worker(serverProgram, "servers")
	if err != nil {
		return got, err
	}
	client, err := c.worker(clientProgram, "clients", c.scenario)
	if err != nil {
		return got, err
	}
	defer limit(client, server)()
	var answer []byte
	_, serverErr := server.ask(socket)
	clientErr := serverErr
	if serverErr == nil {
		if answer, clientErr = client.ask(socket); clientErr == nil {
			got, clientErr = p.read(answer)
		}
	}
	if clientErr != nil || isRelease(clientProgram) {
		clientErr = errors.Join(clientErr, c.dismiss("clients "+clientProgram))
	}
	if clientErr != nil || got.Killed || isRelease(serverProgram) {
		if serverErr = c.dismiss("servers " + serverProgram); got.Killed {
			serverErr = wantKilled(serverErr)
		}
	}
	if clientErr == nil && serverErr == nil {
		return got, nil
	}
	clientErr = errors.Join(clientErr, c.dismiss("clients "+clientProgram))
	return got, fmt.Errorf("client: %v; server: %v\nclient wrote:\n%s%s\nserver wrote:\n%s",
		clientErr, serverErr, answer, client.log.Bytes(), server.log.Bytes())
}

// isRelease tells of a program whether it is a release's.
func isRelease(program string) bool {
	for _, r := range releases {
		if r.version == program {
			return true
		}
	}
	return false
}

// end ends all, and returns what went wrong in those that seemed to work well.
func (c *crew) end() error {
	var errs []error
	for name, w := range c.workers {
		stop := limit(w)
		if err := c.dismiss(name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", name, err, w.log.Bytes()))
		}
		stop()
	}
	return errors.Join(errs...)
}

// limit ends workers that take too long, unless it is stopped.
func limit(workers ...*worker) (stop func() bool) {
	return time.AfterFunc(processLimit, func() {
		for _, w := range workers {
			w.cancel()
		}
	}).Stop
}
