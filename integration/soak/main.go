// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Soak puts clients and servers under load and checks all that comes of it: each
// answer's content and order, how each call ends, and that nothing is left of it. It
// prints what it finds and exits with 1 if anything is wrong.
//
//	go run . [-for 1m] [-seed N] [-json]   mixed traffic, at full speed, with trouble
//	go run . connections [-n 10000]        open at once
//	go run . streams [-n 100000]           open at once on one connection
//	go run . calls [-n 1000000]            on one connection, by 1, 64 and 1000 callers
//	go run . concurrent [-n 100000]        calls at once on one connection
//
// Connections are in classic and in extended mode: those of the mixed traffic side by
// side to the same servers, the others one mode after the other. With -mode classic or
// -mode extended all are in that one.
//
// Server and client are processes of their own. It needs Linux. To see what a
// release does, which has the classic mode alone, build it against that:
//
//	go run -modfile=released/v1.2.10.mod -tags released . [...]
//
// Some kinds of calls end all connections of a release; -without leaves them out.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	duration   time.Duration
	interval   time.Duration
	intervals  int // instead of duration, if not 0
	failFast   bool
	grace      time.Duration
	seed       uint64
	n          int
	json       bool
	modes      modes
	oneProcess bool
	watched    *watched
	without    map[string]bool
	fault      *fault
	dir        string
}

// runs are the commands.
var runs = map[string]func(*options, *report) error{
	"soak":        runSoak,
	"connections": runConnections,
	"streams":     runStreams,
	"calls":       runCalls,
	"concurrent":  runConcurrent,
}

func main() {
	name, args := "soak", os.Args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	o, err := parse(name, args)
	if err == nil && name == "serve" {
		err = serve(newHost(o.dir, o.modes, o.fault, o.watched), os.Stdin, os.Stdout)
	} else if err == nil {
		err = run(name, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// parse reads the command line; -dir is for serve only.
func parse(name string, args []string) (*options, error) {
	o := &options{without: make(map[string]bool)}
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.DurationVar(&o.duration, "for", time.Minute, "how long the soak runs")
	flags.DurationVar(&o.interval, "interval", 0, "the time between samples (default: a thirtieth of -for, 2 s to 30 s)")
	flags.IntVar(&o.intervals, "intervals", 0, "how many samples to take, instead of -for")
	flags.BoolVar(&o.failFast, "fail-fast", false, "end the soak at the first failure")
	flags.DurationVar(&o.grace, "grace", 2*time.Minute, "how long one call may take before it counts as hanging")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "the seed of all that is random")
	flags.IntVar(&o.n, "n", 0, "how many connections, streams or calls (default: as listed)")
	flags.BoolVar(&o.json, "json", false, "print lines of JSON")
	flags.BoolVar(&o.oneProcess, "one-process", false, "soak with server and client in one process")
	watch := flags.Bool("watched", false, "attach page, spans and metrics to all servers and clients, and ask for them meanwhile")
	flags.StringVar(&o.dir, "dir", "", "the directory of the sockets")
	without := flags.String("without", "", "leave out these `kinds`, separated by commas and as the summary names them, without the mode")
	modeName := flags.String("mode", defaultModes, "the `mode` of connections: classic, extended, or both")
	faultName := flags.String("fault", "", "have the server do something wrong, to see it found: "+
		strings.Join(slices.Sorted(maps.Keys(faults)), ", "))
	flags.Parse(args)
	for _, name := range strings.FieldsFunc(*without, func(r rune) bool { return r == ',' }) {
		if !isKind(name) {
			return nil, fmt.Errorf("there is no kind of call %q", name)
		}
		o.without[name] = true
	}
	if o.interval == 0 {
		o.interval = max(2*time.Second, min(30*time.Second, o.duration/30))
	}
	if *watch {
		o.watched = newWatched()
	}
	var err error
	if o.modes, err = parseModes(*modeName); err != nil {
		return nil, err
	}
	o.fault, err = newFault(*faultName)
	return o, err
}

// run runs a command and prints its result.
func run(name string, o *options) error {
	command := runs[name]
	if command == nil {
		return fmt.Errorf("there is no command %q, but %s", name, strings.Join(slices.Sorted(maps.Keys(runs)), ", "))
	}
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.dir = dir
	r := newReport(os.Stdout, o.json)
	if o.failFast {
		r.maxFailures = 1
	}
	r.note(fmt.Sprintf("%s, mode %s, seed %d", name, o.modes.name(), o.seed),
		map[string]any{"command": name, "mode": o.modes.name(), "seed": o.seed})
	r.failIf(command(o, r))
	if !r.finish() {
		return fmt.Errorf("%s has failed", name)
	}
	return nil
}
