// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

// Package measure measures systems that answer calls, each in a program of its own.
package measure

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// options say what is measured.
type options struct {
	size, answer int
	callers      int
	kind         string
	processes    int
	connections  int
	calls        int
	rate         int
	latencies    bool
	server       string
	over         string
	lost         int
	behind       string
	apart        bool
	processors   int
	duration     time.Duration
	settle       time.Duration
}

// metrics are what was measured, by name. They are nil if a system has nothing of the
// kind.
type metrics map[string]float64

var measures = map[string]func(*bench, *options) metrics{
	"calls":   measureCalls,
	"connect": measureConnect,
	"streams": measureStreams,
	"rate":    measureRate,
	"beside":  measureBeside,
	"memory":  measureMemory,
}

// Main is the main function of a side: it measures what the command line says and
// prints what it measured as JSON.
//
//	PROGRAM calls|connect|streams|rate|beside|memory [flags]
//	PROGRAM serve|pass [flags] SOCKET
//
// The server is in the same process, or with -processes 2 in one of its own, which with
// -server is another side's program. With -processes 3 a system that passes calls on has a
// process of its own between them.
func Main(sys System) {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal(wanted)
	}
	what := os.Args[1]
	o, args := parse(os.Args[2:])
	switch {
	case what == "serve" && len(args) == 1:
		serveProcess(sys, o, args[0])
		return
	case what == "pass" && len(args) == 1:
		passProcess(sys, o, args[0])
		return
	case measures[what] == nil:
		log.Fatal(wanted)
	}
	if !o.possible(sys) {
		fmt.Println("null")
		return
	}
	b := newBench(sys, o)
	result := measures[what](b, o)
	b.end()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

const wanted = "want calls, connect, streams, rate, beside or memory"

// parse returns what the command line says, and what is left of it.
func parse(args []string) (*options, []string) {
	o := new(options)
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flags.IntVar(&o.size, "size", 0, "bytes of each message")
	flags.IntVar(&o.answer, "answer", -1, "bytes of each answer, if it differs")
	flags.IntVar(&o.callers, "callers", 1, "how many call at once")
	flags.StringVar(&o.kind, "kind", "", "of streams: upload, download, pipelined, pingpong; of memory: idle, called, stream")
	flags.IntVar(&o.processes, "processes", 1, "1, or 2 for a server in another process, or 3 for one between as well")
	flags.StringVar(&o.server, "server", "", "with -processes 2: the program that serves, instead of this one")
	flags.StringVar(&o.over, "over", "", "what connections go over instead of a unix socket: tls, pipe, tcp, tcp+tls, or what the system has")
	flags.IntVar(&o.lost, "lost", 0, "how many of 100 packets are lost, in either direction")
	flags.StringVar(&o.behind, "behind", "", "of pass: the address that calls are passed on to")
	flags.BoolVar(&o.apart, "apart", false, "of calls: each caller has a connection of its own")
	flags.IntVar(&o.processors, "processors", 0, "GOMAXPROCS, or 0 for what the machine has")
	flags.IntVar(&o.connections, "n", 1000, "how many connections or streams")
	flags.IntVar(&o.calls, "calls", 1, "how many calls in a row each of called connections has made")
	flags.IntVar(&o.rate, "rate", 10000, "calls a second of rate and beside, where it may be 0 for as many as there can be")
	flags.BoolVar(&o.latencies, "latencies", false, "tell percentiles")
	flags.DurationVar(&o.duration, "for", time.Second, "how long")
	most := flags.Int("max", math.MaxInt, "most callers, connections or streams")
	flags.DurationVar(&o.settle, "settle", 3*time.Second/2, "how long memory is left alone before it is measured")
	Must(flags.Parse(args))
	o.callers, o.connections = min(o.callers, *most), min(o.connections, *most)
	if o.answer < 0 {
		o.answer = o.size
	}
	if o.server != "" && o.processes != 2 {
		log.Fatal("-server is for -processes 2")
	}
	if o.processors > 0 {
		runtime.GOMAXPROCS(o.processors)
	}
	return o, flags.Args()
}

// possible tells whether a system has what is to be measured.
func (o *options) possible(sys System) bool {
	switch {
	case o.processes == 3 && sys.Pass == nil, o.over != "" && sys.Over == nil:
		return false
	case o.over == "":
		return true
	}
	_, ours := media[o.over]
	_, its := sys.Media[o.over]
	if !ours && !its {
		log.Fatalf("nothing goes over %q", o.over)
	}
	return true
}

// Must ends the process if something has gone wrong.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// A bench is a server and where to reach it.
type bench struct {
	sys     System
	dir     string
	server  *serverProcess   // the one that clients connect to, nil if it is in this process
	servers []*serverProcess // that one, and the one behind it
	dial    func() (Client, error)
}

func newBench(sys System, o *options) *bench {
	dir, err := os.MkdirTemp("", "bench")
	Must(err)
	b := &bench{sys: sys, dir: dir}
	socket, m := filepath.Join(dir, "s"), sys.medium(o)
	address := socket
	switch o.processes {
	case 1:
		l, err := m.Listen(socket, o.lost)
		Must(err)
		address = l.Addr().String()
		go sys.Serve(l)
	case 2:
		b.start(startServer(o.server, "serve", flagged("over", o.over), flagged("lost", o.lost), socket))
		address = b.server.address
	default:
		b.start(startServer("", "serve", filepath.Join(dir, "behind")))
		b.start(startServer("", "pass", flagged("behind", b.server.address), socket))
		address = b.server.address
	}
	b.dial = func() (Client, error) {
		if o.over == "" {
			return sys.Dial(address)
		}
		conn, err := m.Dial(address, o.lost)
		if err != nil {
			return nil, err
		}
		return sys.Over(conn), nil
	}
	return b
}

func flagged(name string, value any) string { return fmt.Sprintf("-%s=%v", name, value) }

// start adds a process, which clients connect to from now on.
func (b *bench) start(s *serverProcess) {
	b.server, b.servers = s, append(b.servers, s)
}

func (b *bench) end() {
	for _, s := range slices.Backward(b.servers) {
		s.end()
	}
	Must(os.RemoveAll(b.dir))
}

// connect returns a new client.
func (b *bench) connect() Client {
	for {
		c, err := b.dial()
		if errors.Is(err, syscall.EAGAIN) {
			time.Sleep(time.Millisecond) // the server has yet to accept those before
			continue
		}
		Must(err)
		return c
	}
}
