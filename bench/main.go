// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Bench measures this library beside its releases, its rivals and what nobody can go
// below:
//
//	go -C bench run .
//
// Each side is a program of its own, as releases have the same module path as this:
// those below ttrpc, rivals, grpc, channels and floor, whose main functions are all the one of measure,
// and the smallest servers and clients, below minimal. For each row of the tables, all
// sides are measured in turn, round by round. What was measured goes into
// docs/benchmarks: results.txt, which benchstat reads; README.md, the tables; and plots.
//
// The whole takes about 40 minutes of a machine that does nothing else, 8 GB of memory
// and 10,000 open files a process. -only measures the rows again whose names match, and
// leaves the others as they are; -render only makes tables and plots from results.txt.
//
// Of its dependencies gonum's plot makes the plots, x/perf writes and reads results,
// vtprotobuf's generator makes messages with faster methods, and the others are rivals.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
)

func main() {
	log.SetFlags(0)
	var (
		o    options
		only = flag.String("only", "", "measure the rows whose names match a `regexp`")
		list = flag.Bool("list", false, "list the names of all rows")
	)
	flag.StringVar(&o.out, "out", "", "the `directory` of results, tables and plots (default ../docs/benchmarks, or a temporary one with -quick)")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side of a row is measured")
	flag.BoolVar(&o.quick, "quick", false, "only see that all can be measured: the figures are worth nothing")
	flag.BoolVar(&o.render, "render", false, "measure nothing")
	flag.Parse()
	if *list {
		for _, r := range rows() {
			fmt.Println(r.name)
		}
		return
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	if o.out == "" {
		o.out = "../docs/benchmarks"
		if o.quick {
			if o.out, err = os.MkdirTemp("", "benchmarks"); err != nil {
				log.Fatal(err)
			}
			log.Printf("writing to %s", o.out)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o, os.Stderr); err != nil {
		log.Fatal(err)
	}
}

// options are what the command line says.
type options struct {
	out           string
	rounds        int
	quick, render bool
	only          *regexp.Regexp
}

// resultsFile is where results are, below the output directory.
const resultsFile = "results.txt"

func run(ctx context.Context, o *options, log io.Writer) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var failed error
	if !o.render {
		failed = measureAll(ctx, o, log)
	}
	r, err := readResults(filepath.Join(o.out, resultsFile))
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, writeTables(r, o.out), writePlots(r, o.out))
}

// measureAll measures all rows that are wanted. The results of each are kept before
// the next is measured.
func measureAll(ctx context.Context, o *options, log io.Writer) error {
	programs, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(programs)
	m := &measuring{Context: ctx, programs: programs, rounds: o.rounds, quick: o.quick, log: log}
	if m.quick {
		m.rounds = 1
	}
	wanted := slices.DeleteFunc(rows(), func(r *row) bool { return !o.only.MatchString(r.name) })
	if err := m.build(wanted); err != nil {
		return err
	}
	path := filepath.Join(o.out, resultsFile)
	var failed error
	for _, row := range wanted {
		if err := ctx.Err(); err != nil {
			return err
		}
		lines, err := m.measure(row)
		if err != nil {
			fmt.Fprintln(log, err)
			failed = errors.Join(failed, err)
		}
		if len(lines) == 0 {
			fmt.Fprintf(log, "%s: cannot be measured here\n", row.name)
			continue
		}
		r, err := readResults(path)
		if err != nil {
			return err
		}
		r.replace(row.name, lines)
		if err := r.write(path); err != nil {
			return err
		}
	}
	return failed
}
