// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package peers builds and runs the programs that are the other end of a test's
// connections.
package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Release is the version that peers are built against. Its mod file is in the
// directory released.
const Release = "v1.2.10"

// limit is how long a process may live. It is far more than any needs; who reaches
// it hangs, and shows its goroutines.
const limit = 90 * time.Second

// build builds the program in the directory peer below the current one, against the
// release, and returns its path, which is in dir.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "peer")
	modFile, err := filepath.Abs(filepath.Join("..", "released", Release+".mod"))
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-modfile="+modFile, "-o", path, "./peer")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the peer of %s: %v\n%s", Release, err, out)
	}
	return path, nil
}

// Main builds the peer, has run run a package's tests with its path, and returns
// their exit code.
func Main(run func(path string) int) int {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path, err := build(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(path)
}

// A Process is a peer that runs.
type Process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	stdin  io.Closer
	stdout *bufio.Reader
	log    bytes.Buffer
}

// Start starts a peer. It gets files as its file descriptors from 3 on, and
// they are closed here.
func Start(path string, files []*os.File, args ...string) (*Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	p := &Process{cmd: exec.CommandContext(ctx, path, args...), cancel: cancel}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGQUIT) }
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Stderr = &p.log
	p.cmd.ExtraFiles = files
	err := p.start()
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

func (p *Process) start() error {
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.stdin, p.stdout = stdin, bufio.NewReader(stdout)
	return p.cmd.Start()
}

// AwaitLine waits until the peer has written a line to its standard output.
func (p *Process) AwaitLine() error {
	_, err := p.stdout.ReadString('\n')
	return err
}

// Wait ends the peer's standard input and waits until it has ended. If it failed
// the error holds all that it has written.
func (p *Process) Wait() error {
	defer p.cancel()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("peer: %v; it wrote:\n%s", err, p.log.Bytes())
	}
	return nil
}
