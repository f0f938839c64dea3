// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cmd shows calls both ways: a pool of workers that dial in, are given jobs
// on the connections that they made, and outlive their dispatcher. Without arguments
// it runs all of them, as processes of their own; with arguments it runs one.
//
// The dispatcher is in dispatcher.go, the worker in worker.go, who has jobs in
// submit.go, and what runs them all in demo.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage:
  cmd                      run a dispatcher, three workers and some jobs, and restart the dispatcher meanwhile
  cmd dispatcher ADDR      take jobs and workers on the unix socket ADDR until interrupted
  cmd worker ADDR NAME     work for the dispatcher at ADDR until interrupted
  cmd submit ADDR JOB ...  have the dispatcher at ADDR do jobs
`

// drainLimit is how long jobs that have begun may take once a process is to end.
const drainLimit = 10 * time.Second

// errUsage says that the arguments make no sense.
var errUsage = errors.New("wrong arguments")

func main() {
	// One Ctrl-C ends things in order, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	mode := "demo"
	if len(args) > 0 {
		mode = args[0]
	}
	switch {
	case len(args) == 0:
		return demo(ctx, newLog(mode))
	case mode == "dispatcher" && len(args) == 2:
		return dispatch(ctx, args[1], newLog(mode))
	case mode == "worker" && len(args) == 3:
		return work(ctx, args[1], &worker{name: args[2], log: newLog(args[2])})
	case mode == "submit" && len(args) > 2:
		return submitAll(ctx, args[1], args[2:], newLog(mode), func() {})
	}
	return errUsage
}

func newLog(who string) *log.Logger { return log.New(os.Stdout, who+": ", 0) }
