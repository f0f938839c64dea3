// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// demo runs a host and plugins, creates a container, restarts the host, and creates
// another one.
func demo(ctx context.Context, log *log.Logger) (err error) {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	address := filepath.Join(dir, "socket")

	names := []string{"anna", "ben"}
	for _, name := range names { // which may come before the host
		p, err := start("plugin", address, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	for _, container := range []string{"c1", "c2"} {
		h, err := start("host", address)
		if err != nil {
			return err
		}
		err = h.await(ctx, "is registered", len(names))
		if err == nil {
			err = create(ctx, address, container, log)
		}
		log.Print("stopping the host")
		if err := errors.Join(err, h.stop()); err != nil {
			return err
		}
	}
	return nil
}

// A process is this program, run with arguments.
type process struct {
	cmd   *exec.Cmd
	lines chan string // what it has printed; closed when it has ended
}

func start(args ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Println(lines.Text())
			p.lines <- lines.Text()
		}
	}()
	return p, nil
}

// await waits until the process has printed n lines that end with text.
func (p *process) await(ctx context.Context, text string, n int) error {
	for n > 0 {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return fmt.Errorf("%v has ended and has not printed %q", p.cmd.Args[1:], text)
			}
			if strings.HasSuffix(line, text) {
				n--
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting for %v to print %q: %w", p.cmd.Args[1:], text, ctx.Err())
		}
	}
	return nil
}

// stop has the process end in order, and waits for that.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.cmd.Process.Kill() // there are systems without signals
	}
	for range p.lines {
		// what it prints to its end
	}
	if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState.ExitCode() >= 0 { // or it was not ready for a signal yet
		return fmt.Errorf("%v: %w", p.cmd.Args[1:], err)
	}
	return nil
}
