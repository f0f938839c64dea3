// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// A controller tells a host what to do.
type controller interface {
	do(command) (reply, error)
	dump()      // shows the host's goroutines, unless they are this process's; the host may end
	end() error // closes the servers and ends the host
}

// A process is a host that is a process of its own: this program again, which
// takes commands from its standard input.
type process struct {
	cmd *exec.Cmd

	mu       sync.Mutex // one command at a time
	commands io.WriteCloser
	replies  *json.Decoder
}

func startProcess(dir string, m modes, f *fault, w *watched) (*process, error) {
	// Not os.Executable: what is built anew meanwhile would be another program.
	cmd := exec.Command("/proc/self/exe", "serve", "-dir", dir, "-mode", m.name(), "-fault", f.name, fmt.Sprintf("-watched=%v", w != nil))
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	cmd.Stderr = os.Stderr
	commands, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	replies, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, commands: commands, replies: json.NewDecoder(replies)}, nil
}

// do implements controller.
func (p *process) do(c command) (reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var r reply
	if err := json.NewEncoder(p.commands).Encode(c); err != nil {
		return r, fmt.Errorf("the server's process: %w", err)
	}
	if err := p.replies.Decode(&r); err != nil {
		return r, fmt.Errorf("the server's process: %w", err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// kill ends the process at once.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	p.commands.Close()
	if err := p.cmd.Wait(); p.cmd.ProcessState == nil {
		return err // else it says that it was killed
	}
	return nil
}

// dump implements controller.
func (p *process) dump() {
	p.cmd.Process.Signal(syscall.SIGQUIT)
	p.cmd.Wait()
}

// end implements controller.
func (p *process) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands.Close()
	return p.cmd.Wait()
}

// serve is the other end of a process.
func serve(h *host, commands io.Reader, replies io.Writer) error {
	in, out := json.NewDecoder(commands), json.NewEncoder(replies)
	for {
		var c command
		if err := in.Decode(&c); err == io.EOF {
			return h.end()
		} else if err != nil {
			return err
		}
		r, err := h.do(c)
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}
