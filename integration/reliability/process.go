// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/ttrpc/integration/reliability/control"
)

// A process is a subject that runs.
type process struct {
	cmd     *exec.Cmd
	control *rpc.Client
	stderr  *tail
	ended   chan struct{} // closed when the process has
}

// A tail keeps the beginning and the end of what is written to it: a panic's
// text is the first, and what the runtime says of it may be long.
type tail struct {
	mu         sync.Mutex
	head, last []byte
}

const tailLength = 16 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(b), tailLength-len(t.head))
	t.head = append(t.head, b[:n]...)
	t.last = append(t.last, b[n:]...)
	t.last = t.last[max(0, len(t.last)-tailLength):]
	return len(b), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.head) + string(t.last)
}

// stdio is the driver's end of the pipes.
type stdio struct {
	io.ReadCloser
	in io.WriteCloser
}

// Write implements io.Writer.
func (s stdio) Write(b []byte) (int, error) { return s.in.Write(b) }

// Close implements io.Closer.
func (s stdio) Close() error { return s.in.Close() }

func startProcess(path string) (*process, error) {
	p := &process{cmd: exec.Command(path), stderr: new(tail), ended: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.control = rpc.NewClient(stdio{out, in})
	go func() {
		defer close(p.ended)
		p.cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return p, nil
}

// kill ends the process, stopped or not, and takes back all that it was given.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	p.control.Close()
}

// signal sends a signal.
func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// hasEnded tells whether the process has.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// cause is the line of standard error that says why the process died.
var cause = regexp.MustCompile(`(?m)^(panic: |fatal error: |runtime: goroutine stack exceeds |WARNING: DATA RACE).*$`)

// obituary says how the process ended.
func (p *process) obituary() string {
	why := cause.FindString(p.stderr.String())
	if why == "" {
		why = p.cmd.ProcessState.String()
	}
	return "process died: " + strings.TrimSpace(why)
}

// ask calls a method of the subject. It waits no longer than limit.
func (p *process) ask(limit time.Duration, method string, args, reply any) error {
	call := p.control.Go(control.Service+"."+method, args, reply, make(chan *rpc.Call, 1))
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-call.Done:
		return call.Error
	case <-p.ended:
		return errEnded
	case <-timer.C:
		return fmt.Errorf("not within %v", limit)
	}
}

var errEnded = errors.New("the process has ended")

// files is how many descriptors the process has open.
func (p *process) files() (int, error) {
	entries, err := os.ReadDir(p.proc("fd"))
	return len(entries), err
}

// resident returns how many bytes of memory the process has, and the most that
// it had since resetPeak.
func (p *process) resident() (now, peak int64, err error) {
	b, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int64 {
		_, after, _ := strings.Cut(string(b), name+":")
		n, _ := strconv.ParseInt(strings.Fields(after + " 0")[0], 10, 64)
		return n << 10 // the file says kB
	}
	return field("VmRSS"), field("VmHWM"), nil
}

// resetPeak has resident tell the peak from now on.
func (p *process) resetPeak() error { return os.WriteFile(p.proc("clear_refs"), []byte("5"), 0) }

func (p *process) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), file)
}
