// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

var jobNames = []string{"job-1", "job-2", "job-3", "job-4", "job-5", "job-6", "job-7", "job-8", "job-9"}

// demo runs a pool, workers and jobs. While the first job is worked on, the only worker leaves
// and others come.
func demo(ctx context.Context, log *log.Logger) (err error) {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	address := filepath.Join(dir, "socket")

	var started processes
	defer func() { err = errors.Join(err, started.stop()) }()
	if _, err := started.start("serve", address); err != nil {
		return err
	}
	leaves, err := started.start("work", address, "anna")
	if err != nil {
		return err
	}

	begun, done := make(chan struct{}), make(chan error, 1)
	progress := sync.OnceFunc(func() { close(begun) })
	go func() { done <- submitAll(ctx, address, jobNames, log, progress) }()
	select {
	case <-begun:
	case err := <-done:
		return err
	}
	for _, name := range []string{"ben", "cleo"} {
		if _, err := started.start("work", address, name); err != nil {
			return err
		}
	}
	log.Print("asking anna to leave")
	if err := stop(leaves); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return err
	}
	log.Printf("all %d jobs are done", len(jobNames))
	return nil
}

// processes are in the order in which they were started.
type processes []*exec.Cmd

// start runs this program with arguments.
func (p *processes) start(args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	*p = append(*p, cmd)
	return cmd, nil
}

// stop stops those that run, the last first.
func (p *processes) stop() (err error) {
	for i := len(*p) - 1; i >= 0; i-- {
		if cmd := (*p)[i]; cmd.ProcessState == nil {
			err = errors.Join(err, stop(cmd))
		}
	}
	return err
}

// stop has a process end in order, and waits for that.
func stop(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		cmd.Process.Kill() // there are systems without signals
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() >= 0 { // or it was not ready for a signal yet
		return fmt.Errorf("%v: %w", cmd.Args[1:], err)
	}
	return nil
}
