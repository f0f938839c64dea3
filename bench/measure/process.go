// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/json"
	"fmt"
	"io"
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

// A serverProcess is a server in a process of its own.
type serverProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startServer starts a program's server, or this one's if none is named.
func startServer(exe, socket string) *serverProcess {
	var err error
	if exe == "" {
		exe, err = os.Executable()
		Must(err)
	}
	s := &serverProcess{cmd: exec.Command(exe, "serve", socket)}
	s.cmd.Stderr = os.Stderr
	s.in, err = s.cmd.StdinPipe()
	Must(err)
	out, err := s.cmd.StdoutPipe()
	Must(err)
	Must(s.cmd.Start())
	s.out = json.NewDecoder(out)
	var ready string
	Must(s.out.Decode(&ready))
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
	if b.server != nil {
		c = c.plus(b.server.ask("usage"))
	}
	return c
}
