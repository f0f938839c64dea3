// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Command pool is a pool of workers that register themselves, with nothing but channels:
//
//	go run ./example/pool
//
// Workers and those who have jobs dial the pool. A worker that is idle sends it an [Offer],
// which is a channel for one job. A [Job] has a channel for its results. The pool sends the job by
// the channel of an offer, and has no more to do with it: the results go from the worker to
// whoever has submitted the job, and how fast these are received is felt by the worker.
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

	"github.com/containerd/ttrpc/libchan"
)

// An Offer is what a worker that is idle sends to the pool.
type Offer struct {
	Worker string
	Job    libchan.SendChan[Job] // takes one, and Send returns when the worker has it
}

// A Job is what is submitted to the pool, and then sent to a worker.
type Job struct {
	Name    string
	Steps   int
	Step    time.Duration
	Results libchan.SendChan[Result] // one for each step; closed after the last
}

// A Result is that of one step.
type Result struct {
	Worker string
	Step   int
}

// The names of the channels that are opened to the pool.
const (
	offersChannel = "offers"
	jobsChannel   = "jobs"
)

const usage = `usage:
  pool                      show all of it: a pool, its workers, and their jobs
  pool serve ADDR           run a pool on the unix socket ADDR until interrupted
  pool work ADDR NAME       work for the pool at ADDR until interrupted
  pool submit ADDR JOB ...  have the pool at ADDR do jobs
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
	case mode == "serve" && len(args) == 2:
		return serve(ctx, args[1], newLog("pool"))
	case mode == "work" && len(args) == 3:
		return work(ctx, args[1], &worker{name: args[2], log: newLog(args[2])})
	case mode == "submit" && len(args) > 2:
		return submitAll(ctx, args[1], args[2:], newLog(mode), func() {})
	}
	return errUsage
}

func newLog(who string) *log.Logger { return log.New(os.Stdout, who+": ", 0) }
