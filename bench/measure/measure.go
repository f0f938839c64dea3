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
	"net"
	"os"
	"path/filepath"
	"runtime"
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
//	PROGRAM serve SOCKET
//
// The server is in the same process, or with -processes 2 in one of its own, which with
// -server is another side's program.
func Main(sys System) {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		serveProcess(sys, os.Args[2])
		return
	}
	o := new(options)
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	flags.IntVar(&o.size, "size", 0, "bytes of each message")
	flags.IntVar(&o.answer, "answer", -1, "bytes of each answer, if it differs")
	flags.IntVar(&o.callers, "callers", 1, "how many call at once")
	flags.StringVar(&o.kind, "kind", "", "of streams: upload, download, pipelined, pingpong; of memory: idle, called, stream")
	flags.IntVar(&o.processes, "processes", 1, "1, or 2 for a server in another process")
	flags.StringVar(&o.server, "server", "", "with -processes 2: the program that serves, instead of this one")
	flags.StringVar(&o.over, "over", "", "what connections go over instead of a unix socket: tls, pipe")
	flags.BoolVar(&o.apart, "apart", false, "of calls: each caller has a connection of its own")
	flags.IntVar(&o.processors, "processors", 0, "GOMAXPROCS, or 0 for what the machine has")
	flags.IntVar(&o.connections, "n", 1000, "how many connections or streams")
	flags.IntVar(&o.calls, "calls", 1, "how many calls in a row each of called connections has made")
	flags.IntVar(&o.rate, "rate", 10000, "calls a second of rate and beside, where it may be 0 for as many as there can be")
	flags.BoolVar(&o.latencies, "latencies", false, "tell percentiles")
	flags.DurationVar(&o.duration, "for", time.Second, "how long")
	most := flags.Int("max", math.MaxInt, "most callers, connections or streams")
	flags.DurationVar(&o.settle, "settle", 3*time.Second/2, "how long memory is left alone before it is measured")
	if len(os.Args) < 2 || measures[os.Args[1]] == nil {
		log.Fatal("want calls, connect, streams, rate, beside or memory")
	}
	flags.Parse(os.Args[2:])
	o.callers, o.connections = min(o.callers, *most), min(o.connections, *most)
	if o.answer < 0 {
		o.answer = o.size
	}
	if o.server != "" && o.processes != 2 {
		log.Fatal("-server is for -processes 2")
	}
	if o.over != "" && (media[o.over] == nil || o.processes != 1) {
		log.Fatal("-over is tls or pipe, and for -processes 1")
	}
	if o.processors > 0 {
		runtime.GOMAXPROCS(o.processors)
	}
	if o.over != "" && sys.Over == nil {
		fmt.Println("null")
		return
	}
	b := newBench(sys, o)
	result := measures[os.Args[1]](b, o)
	b.end()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

// Must ends the process if something has gone wrong.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// A bench is a server and where to reach it.
type bench struct {
	sys         System
	dir, socket string
	server      *serverProcess           // nil if it is in this process
	connect     func() (net.Conn, error) // nil if the system dials the socket itself
}

func newBench(sys System, o *options) *bench {
	dir, err := os.MkdirTemp("", "bench")
	Must(err)
	b := &bench{sys: sys, dir: dir, socket: filepath.Join(dir, "s")}
	if o.processes == 2 {
		b.server = startServer(o.server, b.socket)
		return b
	}
	if over := media[o.over]; over != nil {
		b.connect = over(sys, b.socket)
		return b
	}
	l, err := net.Listen("unix", b.socket)
	Must(err)
	go sys.Serve(l)
	return b
}

func (b *bench) end() {
	if b.server != nil {
		b.server.end()
	}
	Must(os.RemoveAll(b.dir))
}

func (b *bench) dial() Client {
	if b.connect != nil {
		conn, err := b.connect()
		Must(err)
		return b.sys.Over(conn)
	}
	for {
		c, err := b.sys.Dial(b.socket)
		if errors.Is(err, syscall.EAGAIN) {
			time.Sleep(time.Millisecond) // the server has yet to accept those before
			continue
		}
		Must(err)
		return c
	}
}

// serveProcess is the server's process: it serves, and tells of itself whenever a
// line comes.
func serveProcess(sys System, socket string) {
	l, err := net.Listen("unix", socket)
	Must(err)
	go sys.Serve(l)
	out := json.NewEncoder(os.Stdout)
	Must(out.Encode("ready"))
	var question string
	for {
		if _, err := fmt.Scanln(&question); err != nil {
			return // the client is done
		}
		Must(out.Encode(takeCensus(question == "memory")))
	}
}
