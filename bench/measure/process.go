// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A census is what a process takes.
type census struct {
	CPU                 time.Duration
	Mallocs, TotalAlloc uint64
	Heap, Stacks        uint64 // after a garbage collection
	RSS                 uint64 // when unused memory was given back
}

// takeCensus counts what this process takes. For its memory it tidies up first.
func takeCensus(memory bool) census {
	var c census
	if memory {
		for range 3 { // pools let go in two
			runtime.GC()
		}
		debug.FreeOSMemory()
		c.RSS = residentBytes()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.Mallocs, c.TotalAlloc, c.Heap, c.Stacks = m.Mallocs, m.TotalAlloc, m.HeapAlloc, m.StackInuse
	var u syscall.Rusage
	Must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	c.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return c
}

// minus returns by how much a census has grown.
func (c census) minus(old census) census {
	return census{
		CPU: c.CPU - old.CPU, Mallocs: c.Mallocs - old.Mallocs, TotalAlloc: c.TotalAlloc - old.TotalAlloc,
		Heap: c.Heap - old.Heap, Stacks: c.Stacks - old.Stacks, RSS: c.RSS - old.RSS,
	}
}

func (c census) plus(d census) census {
	return census{
		CPU: c.CPU + d.CPU, Mallocs: c.Mallocs + d.Mallocs, TotalAlloc: c.TotalAlloc + d.TotalAlloc,
		Heap: c.Heap + d.Heap, Stacks: c.Stacks + d.Stacks, RSS: c.RSS + d.RSS,
	}
}

// residentBytes returns the anonymous memory of this process: what it has of files
// is shared.
func residentBytes() uint64 {
	b, err := os.ReadFile("/proc/self/status")
	Must(err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			Must(err)
			return kb << 10
		}
	}
	panic("/proc/self/status has no RssAnon")
}

// serveProcess is the server's process.
func serveProcess(sys System, o *options, socket string) {
	l, err := sys.medium(o).Listen(socket, o.lost)
	Must(err)
	go sys.Serve(l)
	tell(l.Addr().String())
}

// passProcess is the one between a client and a server.
func passProcess(sys System, o *options, socket string) {
	l, err := net.Listen("unix", socket)
	Must(err)
	go sys.Pass(l, o.behind)
	tell(socket)
}

// tell says at which address the process serves, and of itself whenever a line comes.
func tell(address string) {
	out := json.NewEncoder(os.Stdout)
	Must(out.Encode(address))
	var question string
	for {
		if _, err := fmt.Scanln(&question); err != nil {
			return // the client is done
		}
		Must(out.Encode(takeCensus(question == "memory")))
	}
}

// A serverProcess is a server in a process of its own.
type serverProcess struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	address string
}

// startServer starts a server of a program, or of this one if none is named.
func startServer(exe string, args ...string) *serverProcess {
	var err error
	if exe == "" {
		exe, err = os.Executable()
		Must(err)
	}
	s := &serverProcess{cmd: exec.Command(exe, args...)}
	s.cmd.Stderr = os.Stderr
	s.in, err = s.cmd.StdinPipe()
	Must(err)
	out, err := s.cmd.StdoutPipe()
	Must(err)
	Must(s.cmd.Start())
	s.out = json.NewDecoder(out)
	Must(s.out.Decode(&s.address))
	return s
}

func (s *serverProcess) ask(question string) (c census) {
	_, err := fmt.Fprintln(s.in, question)
	Must(err)
	Must(s.out.Decode(&c))
	return c
}

func (s *serverProcess) end() {
	Must(s.in.Close())
	Must(s.cmd.Wait())
}

// census counts what all processes take.
func (b *bench) census() census {
	c := takeCensus(false)
	for _, s := range b.servers {
		c = c.plus(s.ask("usage"))
	}
	return c
}
