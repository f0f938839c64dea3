// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package subject has the two kinds of peers under test: servers, which are known by their
// address, and clients, which are told by lines of JSON what to do.
package subject

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A process is a program under test. It ends when its standard input does.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // what it prints; closed when it has ended
	stderr tail
}

// start starts a program with arguments, which are separated by spaces.
func start(command string) (*process, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return nil, errors.New("there is no command")
	}
	p := &process{cmd: exec.Command(words[0], words[1:]...), lines: make(chan string, 16)}
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %q: %w", command, err)
	}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(stdout)
		s.Buffer(nil, 64<<20)
		for s.Scan() {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// stop ends the program and waits until it has gone. It returns the first line that it has printed
// meanwhile.
func (p *process) stop() (first string) {
	p.stdin.Close()
	timer := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	for line := range p.lines { // Wait must not come before the end of these
		first = cmp.Or(first, line)
	}
	p.cmd.Wait()
	return first
}

// gone tells how a program has ended that should not have.
func (p *process) gone() error {
	if line := p.stop(); line != "" {
		return fmt.Errorf("the program under test has ended: %v; before, it has printed %.100q\n%s", p.cmd.ProcessState, line, p.stderr.String())
	}
	return fmt.Errorf("the program under test has ended: %v\n%s", p.cmd.ProcessState, p.stderr.String())
}

// A tail keeps the first and the last lines of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const kept = 1 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if len(t.text) > 2*kept {
		t.text = append(t.text[:kept:kept], t.text[len(t.text)-kept:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
